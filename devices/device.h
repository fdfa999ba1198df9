/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a device is. A device model knows its registers and nothing of the machine around it: not
 * its address, not its interrupt number, not KVM, not libfdt. The board reads the device's node by
 * the class's property table, into the class's configuration struct, and hands both to `create`
 * with an environment: guest memory, event loop, interrupt line, a window where the node names one.
 *
 * To add a device: its file with one `struct device_class`, a line in table.c and in meson.build,
 * its binding in dts/bindings/, its test. HACKING.md walks through one.
 */
#ifndef SLUICE_DEVICES_DEVICE_H
#define SLUICE_DEVICES_DEVICE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hyp/mmio.h"

struct chardev;
struct guestmem;
struct irq_line;
struct listener;
struct loop;
struct window;
struct window_config;

/* How a property is spelled in the tree, and what it becomes in the configuration struct. */
enum property_type {
	PROPERTY_FLAG,	 /* empty; bool */
	PROPERTY_U32,	 /* one cell; uint32_t */
	PROPERTY_U64,	 /* exactly 8 bytes; uint64_t */
	PROPERTY_STRING, /* one string; const char *, owned by the configuration */
	PROPERTY_BYTES,	 /* `min` to `max` bytes; into an array of as many */
	PROPERTY_FILE,	 /* a path, from the tree's folder if relative; const char *, as above */
	PROPERTY_CHOICE, /* one string out of `choices`; its index as uint32_t */
	PROPERTY_REGION, /* phandle of a /reserved-memory node; struct property_region */
	PROPERTY_PORTS,	 /* strings, each a port's name or NAME=BACKEND; struct property_ports */
};

/* Named byte streams to the host; the device finds their back ends in device_env.ports. */
#define DEVICE_PORTS_MAX 7
#define PORT_NAME_MAX	 64
struct property_ports {
	unsigned count;
	const char *names[DEVICE_PORTS_MAX];
};

/* A guest-physical range that a property names. */
struct property_region {
	uint64_t gpa;
	uint64_t size; /* bytes; 0: the property is absent */
};

struct property {
	const char *name;
	enum property_type type;
	size_t offset; /* into the configuration struct */
	bool required;
	uint64_t min, max;	    /* of numbers, inclusive; both 0: any */
	const char *const *choices; /* of PROPERTY_CHOICE, ended by NULL */
};

/* Where a class's check says what is wrong: once for each error, by property. */
struct device_check {
	void (*error)(struct device_check *check, const char *property, const char *format, ...)
		__attribute__((format(printf, 3, 4)));
	uint64_t host_page_bytes;
	bool running; /* of a look: the machine is about to run, and not only checked */
};

/* What a class needs to know to describe its window. */
struct window_limits {
	uint64_t host_page_bytes;
	/* The most slots it may have where the class chooses their number itself. */
	unsigned max_slots;
};

/* What a device is given; all of it outlives the device. */
struct device_env {
	const char *id;	     /* its node's name */
	const char *machine; /* the machine's */
	struct loop *loop;
	struct guestmem *mem;
	struct irq_line *irq;
	/* Where a virtio device shows its own (hyp/registers.h); NULL: each read is an exit. */
	uint8_t *registers;
	struct window *window;	      /* of classes with a `window`, else NULL */
	struct chardev *chardev;      /* of the console, else NULL */
	struct chardev *const *ports; /* of classes with a property of ports, in its order */
	bool system_suspend;	      /* the guest can suspend to memory and come back */
};

enum device_kind { DEVICE_PLATFORM, DEVICE_VIRTIO };

struct device {
	const struct device_class *class;
	const char *id;
	pthread_mutex_t lock; /* its registers and state; the bus holds it around region.access */
	struct mmio_region region;
};

struct device_class {
	const char *compatible; /* of the node: "sluice,virtio-mem" */
	enum device_kind kind;
	bool single;			   /* a machine has one at most */
	const struct property *properties; /* ended by an entry without a name; NULL: none */
	size_t config_bytes;

	/* Fills what the tree left out, before the properties are read. May be NULL. */
	void (*defaults)(void *config);
	/* Rules between properties; those of one property stand in the table. May be NULL. */
	void (*check)(const void *config, struct device_check *check);
	/* Looks at what it will take of the host, files above all, before `create`. May be NULL. */
	void (*look)(const void *config, struct device_check *check);
	/*
	 * For a class that wants a window: fills all of it but `name`. The board may ask again with
	 * a smaller max_slots when the slots of all windows are over the budget.
	 */
	void (*window)(
		const void *config, const struct window_limits *limits, struct window_config *ret);

	/* How many workers of the host's kernel will serve it, whose tables of memory have a limit of their own. May be NULL. */
	unsigned (*vhost_workers)(const void *config);
	/* Why a machine with sluice,nested cannot have it. NULL: it can. */
	const char *not_nested;

	/* Makes the device; `config` lives as long as it does. 0 or -errno, with nothing left. */
	int (*create)(const void *config, const struct device_env *env, struct device **ret);
	/* The tables of guest memory kept for it (vhost.h): number `index`, or NULL. May be NULL. */
	struct listener *(*listener)(struct device *device, unsigned index);
	/* System reset: back to the state after create. vCPUs are parked, guest memory is new. */
	void (*reset)(struct device *device);
	/* Ends what is in flight, before the loop waits for the vCPUs. They may run. May be NULL. */
	void (*drain)(struct device *device);
	/* Before a reset or destroy: stop what is under way in guest memory. May be NULL. */
	void (*quiesce)(struct device *device);
	/* The machine is paused, its vCPUs parked, or runs again: the guest's time stands still. May be NULL. */
	void (*pause)(struct device *device, bool paused);
	void (*destroy)(struct device *device);
};

/* Every class a tree may name, ended by NULL. */
extern const struct device_class *const device_table[];

#endif
