/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a device is. A device model knows its registers and nothing of the machine around it: not its address, not its
 * interrupt number, not KVM, not libfdt. The board reads the device's node by the class's property table, into the
 * class's configuration struct, and hands both to `init` with an environment: guest memory, event loop, interrupt line,
 * and a window if the node names one.
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

#include "hyp/kvm/mmio.h"

struct chardev;
struct guestmem;
struct irq_line;
struct listener;
struct loop;
struct state_part;
struct window;
struct vm;
struct window_config;
struct virtio_transport;

/* How a property is spelled in the tree, and what it becomes in the configuration struct. */
enum property_type {
	PROPERTY_FLAG,	 /* empty; bool */
	PROPERTY_U32,	 /* one cell; uint32_t */
	PROPERTY_U64,	 /* exactly 8 bytes; uint64_t */
	PROPERTY_STRING, /* one string; const char *, owned by the configuration */
	PROPERTY_BYTES,	 /* `min` to `max` bytes; into an array of as many */
	PROPERTY_FILE, /* a path, from the tree's folder if relative; struct host_path, as above */
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
	/* Names a host resource other than a file: not allowed in a tree from elsewhere. */
	bool host;
};

/* Receives the errors of a class's check and probe, each with its property. */
struct device_check {
	void (*error)(struct device_check *check, const char *property, const char *format, ...)
		__attribute__((format(printf, 3, 4)));
	uint64_t host_page_bytes;
	bool running; /* of a probe: the machine is about to run, and not only checked */
	/* Set by a probe before it reports that a file is missing: the board adds the folder that was searched. */
	bool missing;
};

/* What a class needs to know to describe its window. */
struct window_limits {
	uint64_t host_page_bytes;
	/* The most slots it may have if the class chooses their number itself. */
	unsigned max_slots;
};

/* What a device is given; all of it outlives the device. */
struct device_env {
	const char *id; /* its node's name */
	/* Unique to the device, and the same at each start of this machine on this host: for addresses and the like. */
	uint64_t identity;
	struct loop *loop;
	struct guestmem *mem;
	struct irq_line *irq;
	const struct virtio_transport *transport; /* of a virtio device */
	/* Memory in which a virtio device shows its registers (hyp/kvm/registers.h); NULL: each read is an exit. */
	uint8_t *registers;
	struct window *window;	      /* of classes with a `window`, else NULL */
	struct chardev *chardev;      /* of the console, else NULL */
	struct chardev *const *ports; /* of classes with a property of ports, in its order */
	bool system_suspend;	      /* the guest can suspend to memory and resume */
};

/* What happens when the guest lets its watchdog expire. */
enum watchdog_action { WATCHDOG_RESET, WATCHDOG_POWER_OFF, WATCHDOG_PAUSE, WATCHDOG_EVENT };

enum device_kind { DEVICE_PLATFORM, DEVICE_VIRTIO };

struct device {
	const struct device_class *class;
	const char *id;
	pthread_mutex_t lock; /* its registers and state; the bus holds it around region.access */
	struct mmio_region region;
	/* device_watch() */
	void (*changed)(struct device *device, void *opaque);
	void *opaque;
};

/*
 * The board calls what follows on the loop's thread, and does not hold the device's lock: a `get` takes it for what
 * vCPUs change. For `state` see state.h.
 *
 * A value that qom-get and qom-list show by its name. A table ends with an entry without a name.
 */
struct device_value {
	const char *name;
	const char *type; /* QEMU's word: "size" (bytes), "uint64", "int", "bool"; a structure's is its own */
	uint64_t (*get)(struct device *device, unsigned index);
	unsigned index; /* which of those that `get` knows */
	/* For qom-set: 0, or -errno with the reason in words. NULL: read only. */
	int (*set)(struct device *device, uint64_t value, char *ret_why, size_t len);
	uint64_t max;	     /* that `set` is called with; 0: any */
	const char *expects; /* in words: "a size of 0 or more" */
	bool guest_memory;   /* memory that the guest is asked to have: boot memory limits it */
	const struct device_value *members; /* of a structure: it has neither get nor set */
};

/* The event for a change of a device; control.c sends it, at most once a second. */
enum device_event_kind {
	EVENT_NONE,
	EVENT_VALUE, /* "id", "qom-path", and `value` by its name */
	EVENT_LEFT,  /* "actual": the guest's memory less the value, in bytes */
	EVENT_PORTS, /* one for each port that was opened or closed: "id", "open" */
};
struct device_event {
	enum device_event_kind kind;
	const char *name;
	const struct device_value *value;
};

/* The memory that a device plugs and unplugs, for query-memory-devices. */
struct device_memory {
	uint64_t gpa, region_bytes, block_bytes; /* fixed */
	uint64_t usable_bytes, requested_bytes, plugged_bytes;
	uint16_t node; /* NUMA node; 0 if the tree gives none */
	/* Why the host refused the guest's last request; NULL: it did not. */
	const char *refused;
	struct window *window;
};

/* Named ports. */
struct device_ports {
	unsigned (*open)(struct device *device); /* bit 1 << N: the guest has its Nth open */
	const char *(*name)(struct device *device, unsigned port);
	/* The size of the terminal behind a port, in characters. False if there is no port of this name. */
	bool (*set_size)(struct device *device, const char *port, uint16_t columns, uint16_t rows);
};

/* Calls `changed` when something that the class's event reports has changed. One watcher; NULL ends it. */
static inline void device_watch(
	struct device *device, void (*changed)(struct device *device, void *opaque), void *opaque)
{
	device->changed = changed;
	device->opaque = opaque;
}

/* For the model to call after such a change. */
static inline void device_changed(struct device *device)
{
	if (device->changed)
		device->changed(device, device->opaque);
}

/* The value of that name, or NULL. */
const struct device_value *device_value(const struct device *device, const char *name);

struct device_class {
	const char *compatible; /* of the node: "sluice,virtio-mem" */
	size_t bytes;		/* of the model's struct, which begins with its struct device */
	enum device_kind kind;
	bool single;			   /* a machine has one at most */
	const struct property *properties; /* ended by an entry without a name; NULL: none */
	size_t config_bytes;

	/* Sets defaults, before the properties are read. May be NULL. */
	void (*defaults)(void *config);
	/* Rules between properties; those of one property are in the table. May be NULL. */
	void (*check)(const void *config, struct device_check *check);
	/* Before `init`: checks that the host resources it will use, files above all, can be opened. May be NULL. */
	void (*probe)(const void *config, struct device_check *check);
	/*
	 * For a class that wants a window: fills all of it but `name`. The board may ask again with
	 * a smaller max_slots when the slots of all windows are over the budget.
	 */
	void (*window)(
		const void *config, const struct window_limits *limits, struct window_config *ret);

	/* Writes what the guest sees of device_env.identity, as in "MAC 02:00:00:00:00:01"; or nothing. May be NULL. */
	void (*identify)(const void *config, uint64_t identity, char *ret, size_t size);
	/* How many vhost workers will serve it, each with a memory table that has its own limit. May be NULL. */
	unsigned (*vhost_workers)(const void *config);
	/* Why a machine with sluice,nested cannot have it. NULL: it can. */
	const char *not_nested;

	/*
	 * Fills the model's zeroed struct, of which device_create() has filled struct device but for its region; `config`
	 * lives as long as it does. 0 or -errno; `finish` comes either way.
	 */
	int (*init)(struct device *device, const void *config, const struct device_env *env);
	const struct device_value *values; /* NULL: none */
	struct device_event event;
	const struct device_ports *ports; /* NULL: none */
	/*
	 * For a watchdog: calls `bite` when the guest lets it expire, once a second at most. One watcher. NULL: none.
	 */
	void (*watchdog)(struct device *device,
		void (*bite)(struct device *device, enum watchdog_action action, void *opaque),
		void *opaque);
	/* Describes its memory. NULL: it has none. */
	void (*memory)(struct device *device, struct device_memory *ret);
	/* The listener for its memory table number `index` (vhost.h), or NULL. May be NULL. */
	struct listener *(*listener)(struct device *device, unsigned index);
	/*
	 * For memory of the device's own that the guest reads without an exit (hyp/kvm/rom.h), at region.gpa: there is a
	 * new VM, in which the id `slot` is the device's; or with NULL the VM is about to go. No vCPU runs. NULL: it has none.
	 */
	void (*attach)(struct device *device, const struct vm *vm, unsigned slot);
	/* System reset: back to the state after `init`. vCPUs are parked, guest memory is new. */
	void (*reset)(struct device *device);
	/* Ends what is in flight, before the loop waits for the vCPUs. They may run. May be NULL. */
	void (*drain)(struct device *device);
	/* Whether something is in flight, so that `drain` would wait; ends it without waiting, as far as it can. NULL: never. */
	bool (*busy)(struct device *device);
	/*
	 * Before a reset or the end, which may take several turns of the loop: from here on the device does not access
	 * guest memory, until `reset` and a driver come. vCPUs are parked. NULL: it never does.
	 */
	void (*quiesce)(struct device *device);
	/*
	 * The machine pauses, before requests in flight are drained and vCPUs are parked, or runs again. In a pause the
	 * guest's time stops, and no access to its memory begins. A reset ends the pause too. May be NULL.
	 */
	void (*pause)(struct device *device, bool paused);
	/* What is saved of it (state.h): the model's own part, then the common one; ended by NULL. */
	const struct state_part *state[3];
	/* Frees what `init` allocated and opened, also if `init` failed halfway. */
	void (*finish)(struct device *device);
};

/*
 * Makes a device of a class; `config` and all that `env` names outlive it. 0, or -ENOMEM and what the class's `init`
 * fails with: then *ret is untouched and nothing is left. Both on the loop's thread.
 */
int device_create(const struct device_class *class, const void *config,
	const struct device_env *env, struct device **ret);
/* Takes NULL. */
void device_destroy(struct device *device);

/* Every class a tree may name, ended by NULL. */
extern const struct device_class *const device_table[];

#endif
