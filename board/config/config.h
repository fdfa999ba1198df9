/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's description, read from its tree and checked: plain data that the machine is built from. Code that has a
 * `struct machine_config` needs no libfdt and checks nothing again.
 */
#ifndef SLUICE_BOARD_CONFIG_CONFIG_H
#define SLUICE_BOARD_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "board/config/tree.h"
#include "board/console/console.h"
#include "board/host/limits.h"
#include "devices/backend/flash-file.h"
#include "hyp/base/host-path.h"
#include "hyp/kvm/kvm.h"
#include "hyp/memory/window.h"
#include "hyp/vcpu/stray.h"
#include "hyp/vcpu/vcpu.h"

struct device_class;
struct errors;
struct fit_file;
struct path_rights;
struct tree_source;
struct verification;

/* A named port of a device. */
struct port_config {
	char *name;
	struct console_spec backend;
};

/* A device of the tree. Those with /aliases come first, then the natural order of names. */
struct device_config {
	const struct device_class *class;
	bool broken;  /* an error was added about it while it was read */
	char *id;     /* node name */
	char *path;   /* "/vmem0" */
	void *config; /* class->config_bytes, filled by the class's property table */
	bool has_window;
	struct window_config window; /* gpa, size, block and slots decided */
	unsigned place;		     /* of a virtio device: 0 is at VIRTIO_MMIO_BASE */
	uint64_t gpa;		     /* of its registers */
	unsigned spi;
	struct port_config *ports;
	size_t port_count;
};

/* The guest's policy for plugged memory, from its command line. */
struct growth_policy {
	/* The kernel uses some of it itself: that part then describes memory plugged later. */
	bool self_carried;
	uint64_t
		cma_bytes; /* boot memory reserved for drivers (CMA), which cannot hold page arrays */
};

/* Of a kernel's command line: arm64 Linux's COMMAND_LINE_SIZE, less the zero byte. */
#define BOOTARGS_MAX 2047

#define CONFIG_CPUS    512
#define CONFIG_RANGES  32
#define CONFIG_DEVICES 32

/* The backing of a range of memory whose node names one. */
struct ram_config {
	uint64_t gpa;
	enum backing_kind backing;
	struct host_path file; /* of BACKING_FILE, else without a name */
};

struct machine_config {
	char *file;   /* as named */
	char *folder; /* that paths in the tree are relative to, with a slash, or "" */
	char *model;

	struct vcpu_config *cpus;
	char **cpu_paths; /* their nodes in the source tree */
	size_t cpu_count;
	unsigned cpu_features; /* that they have: a bit 1 << enum cpu_feature each */
	unsigned gic_version;  /* 2 or 3 */
	bool its;
	struct range memory[CONFIG_RANGES]; /* sorted; the first starts at RAM_BASE */
	size_t memory_count;
	struct range
		mergeable[CONFIG_RANGES]; /* of these: the host may keep one copy of equal pages */
	size_t mergeable_count;
	struct ram_config ram[CONFIG_RANGES]; /* of these: not private anonymous memory */
	size_t ram_count;
	struct range reserved[CONFIG_RANGES + CONFIG_DEVICES]; /* sorted; windows included */
	size_t reserved_count;
	/* Phandles of the nodes of /reserved-memory that are windows, of disabled devices too: the guest does not get them. */
	uint32_t windows[CONFIG_RANGES + CONFIG_DEVICES];
	size_t window_count;
	struct device_config devices[CONFIG_DEVICES];
	size_t device_count;

	bool has_bootargs;	     /* else a bundle's command line holds, if there is one */
	struct growth_policy growth; /* by the guest's command line */
	struct host_path kernel;     /* without a name: the FIT's, or none (an error for run) */
	char *kernel_configuration;  /* of that file, which is a FIT; NULL: the default one */
	/* Without a name: none; else there is neither kernel nor initrd. */
	struct host_path firmware;
	struct flash_config flash; /* its path without a name: none */
	struct host_path
		flash_template;	 /* of a flash file that there is not yet; without a name: none */
	bool raw_kernel;	 /* it is a raw binary, for ... */
	uint64_t kernel_gpa;	 /* ... this address */
	struct host_path initrd; /* without a name: that of a FIT or a bundle, or none */
	bool bundle;		 /* the kernel is the PE bundle that the tree is from ... */
	int bundle_fd;		 /* ... which is open; owned */
	struct fit_file *fit;	 /* that the tree is from, and the kernel; NULL: none; owned */
	struct verification *verification; /* what has to be signed; NULL: nothing; owned */

	struct console_spec console;
	enum stray_policy stray_access;
	uint8_t host_id[HOST_ID_BYTES];
	unsigned ipa_bits_needed; /* to reach the highest address of the map */

	struct path_rights *rights; /* every host_path in this struct refers to them; owned */
	void *fdt;		    /* the checked source tree with overlays applied; owned */
};

/*
 * Reads the tree of `source` (.dts through dtc, .dtb directly), applies its overlays, and checks it
 * against `host`. Every mistake is added to `errors`, not only the first. Returns 0 with a
 * configuration that config_destroy() frees, or -EINVAL after at least one error.
 */
int config_read(const struct tree_source *source, const struct host_limits *host,
	struct errors *errors, struct machine_config **ret);
/*
 * The same for a tree in memory, called `name` in messages, with its author's rights; paths in it are relative to
 * the working folder.
 */
int config_read_blob(const void *blob, size_t size, const char *name,
	const struct host_limits *host, struct errors *errors, struct machine_config **ret);
void config_destroy(struct machine_config *config);
/* There is something to run. */
bool config_has_kernel(const struct machine_config *config);

/*
 * Checks that kernel, initrd, firmware and flash can be opened. If not, or if `devices`, checks memory's files and probes all devices
 * (device_probe()) too, so that all errors are printed together.
 */
void config_probe(
	const struct machine_config *config, bool devices, bool running, struct errors *errors);
/* Makes the file of the flash, if the tree names one and it is missing. False after an error was added. */
bool config_create_flash(const struct machine_config *config, struct errors *errors);
/*
 * The backing of the range of memory at `gpa`, in *ret, and in *ret_fd a descriptor to read and write its file; -1: it
 * has none. False after an error was added.
 */
bool config_open_ram(const struct machine_config *config, uint64_t gpa, struct errors *errors,
	enum backing_kind *ret, int *ret_fd);
/* Checks the host's resources (files) that a device will use, for `sluice check` or before it runs. */
void device_probe(const struct machine_config *config, const struct device_config *device,
	bool running, struct errors *errors);
/* A sentence for errors: in which folder relative paths of the tree begin. malloc'ed, NULL without memory. */
char *config_paths_begin(const struct machine_config *config);

/*
 * The identity that the guest sees of the device, in the machine of this name: "MAC 02:...", or "" if it has none.
 * Returns `buf`.
 */
#define IDENTITY_TEXT 64
const char *device_identity(const struct machine_config *config, const struct device_config *device,
	const char *machine, char buf[IDENTITY_TEXT]);
/* The machine's name without --name: its file's, without folder and ending. malloc'ed. */
char *config_default_name(const char *file);

/* The nearest of `names` (NULL-ended) to `name` by edit distance, or NULL when none is near. */
const char *nearest_name(const char *name, const char *const *names);

#endif
