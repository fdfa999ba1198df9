/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's description, read from its tree and checked: plain data that the machine is built
 * from. Whoever has a `struct machine_config` needs no libfdt and checks nothing again.
 */
#ifndef SLUICE_BOARD_CONFIG_H
#define SLUICE_BOARD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "board/console.h"
#include "hyp/kvm.h"
#include "hyp/stray.h"
#include "hyp/vcpu.h"
#include "hyp/window.h"

struct device_class;
struct errors;

struct range {
	uint64_t gpa;
	uint64_t size; /* bytes */
};

/*
 * What the host allows, as far as the description depends on it. Filled by host_probe() from the
 * running host, or by a test with any host it likes.
 */
struct host_limits {
	unsigned ipa_bits; /* guest-physical address bits KVM offers */
	uint64_t
		address_space; /* bytes a process may reserve: 2^39, 2^47 or 2^48, less RLIMIT_AS */
	uint64_t address_run;  /* the longest stretch of it; 0: not known */
	uint64_t page_bytes;   /* 4096, 16384 or 65536 */
	unsigned memslots;     /* struct kvm_limits */
	unsigned vcpus;	       /* KVM_CAP_MAX_VCPUS */
	bool gicv2, gicv3, its; /* interrupt controllers for guests; none: not known (no KVM) */
	unsigned cpu_features;	/* a bit 1 << enum cpu_feature each */
	unsigned cpus;		/* of the host: 0 to cpus - 1; 0: not known */
	unsigned vhost_regions; /* slots that vhost takes */
	struct kvm_limits
		kvm; /* all that KVM said, for the machine: asking makes a VM, which takes time */
};

/* A named port of a device. */
struct port_config {
	char *name;
	struct console_spec backend;
};

/* A device of the tree, in the order of its place: /aliases first, then natural order of names. */
struct device_config {
	const struct device_class *class;
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

#define CONFIG_CPUS    512
#define CONFIG_RANGES  32
#define CONFIG_DEVICES 32

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
	struct range reserved[CONFIG_RANGES + CONFIG_DEVICES]; /* sorted; windows included */
	size_t reserved_count;
	struct device_config devices[CONFIG_DEVICES];
	size_t device_count;

	char *kernel; /* path, resolved against the folder; NULL: none (an error for run) */
	char *initrd; /* path or NULL */

	struct console_spec console;
	enum stray_policy stray_access;
	unsigned ipa_bits_needed; /* to reach the highest address of the map */

	void *fdt; /* the checked source tree with overlays applied; owned */
};

/*
 * Reads the tree in `file` (.dts through dtc, .dtb directly), applies `overlays`, and checks it
 * against `host`. Every mistake is added to `errors`, not only the first. Returns 0 with a
 * configuration that config_destroy() frees, or -EINVAL after at least one error.
 */
int config_read(const char *file, const char *const *overlays, size_t overlay_count,
	const struct host_limits *host, struct errors *errors, struct machine_config **ret);
/* The same for a tree in memory, called `name` in messages; paths in it are relative to the working folder. */
int config_read_blob(const void *blob, size_t size, const char *name,
	const struct host_limits *host, struct errors *errors, struct machine_config **ret);
void config_destroy(struct machine_config *config);

/* What is wrong with what a device takes of the host (its files), for `sluice check` or before it runs. */
void device_look(const struct device_config *device, bool running, struct errors *errors);

/* The nearest of `names` (NULL-ended) to `name` by edit distance, or NULL when none is near. */
const char *nearest_name(const char *name, const char *const *names);

#endif
