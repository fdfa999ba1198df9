/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device core of virtio 1.2, section 2: status, features, queues, notifications. A virtio
 * device embeds a `struct virtio_device`, describes itself with a const `struct virtio_class`, and
 * serves its queues with virtio_pop() and virtio_push(). How the driver reaches it is the
 * transport's concern (virtio-transport.h), of which virtio-mmio.c is one.
 *
 * Threads and the lock: the driver's register accesses come on vCPU threads with device->lock held. `serve` is called
 * on the event loop's thread without it, and takes it around everything here. A driver's reset may come whenever the
 * lock is free; virtio_pop() then returns false.
 *
 * A device may answer a chain later: virtio_begin() once it has popped it, and virtio_end(). While chains are in
 * flight a driver's reset blocks its vCPU, with the lock released, since nothing may touch the driver's memory
 * afterwards (2.4.1). Chains end on the loop; so code that makes the loop wait for vCPUs calls virtio_drain() first.
 */
#ifndef SLUICE_DEVICES_VIRTIO_VIRTIO_H
#define SLUICE_DEVICES_VIRTIO_VIRTIO_H

#include "devices/device.h"
#include "devices/virtio/virtq.h"
#include "hyp/base/log.h"
#include "hyp/base/loop.h"

#define VIRTIO_QUEUES_MAX 17 /* of a network card: eight pairs, and one for control */

#define VIRTIO_FEATURE(bit) (UINT64_C(1) << (bit))

struct virtio_device;

/* A kind of virtio device, as data. */
struct virtio_class {
	uint32_t device_id;	 /* virtio 1.2, section 5 */
	unsigned queue_count;	 /* at most VIRTIO_QUEUES_MAX */
	uint32_t queue_size_max; /* a power of two, at most VIRTQ_SIZE_MAX */
	/* Device feature bits (in addition to the core's), and those that the driver must take. */
	uint64_t features, required_features;
	uint64_t joined_features;  /* of these the driver takes all or none */
	uint64_t without_features; /* core features that this device does not offer */
	size_t config_bytes;	   /* of the configuration space */
	/* The driver has notified queue `index`: pop, answer, and virtio_interrupt() at the end. */
	void (*serve)(struct virtio_device *device, unsigned index);
	/* For a device with chains in flight: blocks until one has ended, and ends it. Without the lock. */
	void (*wait)(struct virtio_device *device);
	/*
	 * For a device whose queues the kernel serves (vhost.h): once it returns, the kernel does not touch queue
	 * `index`. With the lock, on any thread. May be NULL.
	 */
	void (*halt)(struct virtio_device *device, unsigned index);
	/* The driver resets the device, which forgets this driver's state. With the lock, any thread. */
	void (*reset)(struct virtio_device *device);
	/* The driver writes bytes of the configuration space. With the lock, on a vCPU's thread. */
	void (*write_config)(
		struct virtio_device *device, uint64_t offset, unsigned size, uint64_t value);
};

/* What the driver has set up: plain data, all zero after a reset but for config_generation. */
struct virtio_state {
	uint64_t driver_features;
	uint32_t status;	   /* 2.1 */
	uint32_t interrupt_status; /* 4.2.2: used buffer, configuration change */
	uint32_t config_generation;
	uint32_t device_features_sel, driver_features_sel, queue_sel;
	struct virtq queues[VIRTIO_QUEUES_MAX];
};

/* How a queue is notified: the doorbell's eventfd, watched by the loop. */
struct virtio_kick {
	struct loop_fd watch;
	struct virtio_device *device;
};

struct virtio_device {
	struct device base;
	const struct virtio_class *class;
	const struct device_env *env;
	uint64_t features;  /* offered */
	const void *config; /* class->config_bytes as the driver sees them; the device's */

	struct virtio_state state;

	/* Chains in flight, of each queue and of all; and how many resets are waiting until there are none. */
	unsigned in_flight[VIRTIO_QUEUES_MAX], all_in_flight, resets;
	unsigned runs; /* incremented at each reset: a new value means a new driver */
	bool paused;   /* no chain is taken, by the device or the kernel */
	pthread_cond_t drained;

	struct virtio_kick kicks[VIRTIO_QUEUES_MAX];
	struct mmio_doorbell doorbells[VIRTIO_QUEUES_MAX + 1]; /* and the transport's own */
	unsigned budget;       /* chains virtio_pop() may still return in this turn */
	uint64_t turn_ends_ms; /* virtio_pop() returns none after this */
	struct log_limit complaints;
	bool external_backend; /* the kernel serves and interrupts */
	uint32_t used_then;    /* sum of the used rings' indices at the last check */
};

/*
 * For a model's `init`: `features` are this device's beyond the class's; `config` is the configuration space, which the
 * model owns. The transport fills base.region. 0 or -errno; call virtio_finish() either way.
 */
int virtio_init(struct virtio_device *device, const struct virtio_class *class,
	const struct device_env *env, uint64_t features, const void *config);
/* Call it before serving queues without a notification: bounds the turn, as a notification does. */
void virtio_begin_turn(struct virtio_device *device);
bool virtio_turn_is_over(const struct virtio_device *device);
/* `serve` is called for queue `index` in a later turn, as by a notification. Any thread. */
void virtio_kick(struct virtio_device *device, unsigned index);
/* The kernel serves its queues, and signals the line's eventfd. */
void virtio_external_backend(struct virtio_device *device);
/* Takes a half-made device too, as long as it was zeroed. On the loop's thread. */
void virtio_finish(struct virtio_device *device);
/* System reset: a driver's reset, and pending notifications are dropped. Takes the lock. */
void virtio_system_reset(struct virtio_device *device);
/* A device_class.quiesce; and the reset of a model whose state is the core's alone. */
void virtio_quiesce(struct device *device);
/* A device_class.busy. */
bool virtio_busy(struct device *device);
/* On the loop's thread, without the lock: ends all that is in flight. */
void virtio_drain(struct virtio_device *device);
/*
 * A device_class.pause. While paused the device takes no chains, and the kernel does not serve its queues. What is in
 * flight ends as usual. Takes the lock.
 */
void virtio_pause(struct device *device, bool paused);

/* What follows is called with device->lock held. */

/* Whether the driver has set up queue `index`, and the device runs. */
bool virtio_queue_runs(const struct virtio_device *device, unsigned index);

/*
 * Takes the next chain of queue `index`. False if there is none or the device does not run. One turn gets at most
 * queue_size_max chains, later turns the rest, so that no guest blocks the loop. None while as many chains as the ring
 * has entries are in flight.
 */
bool virtio_pop(struct virtio_device *device, unsigned index, struct virtq_chain *ret);
/* Returns the chains that are available now, unread and without an interrupt: at most the ring's size. */
void virtio_drop(struct virtio_device *device, unsigned index);
/* Whether a chain is available. Unlike virtio_pop(), it does not ask for a notification if there is none. */
bool virtio_waits(const struct virtio_device *device, unsigned index);
void virtio_push(struct virtio_device *device, unsigned index, uint16_t head, uint32_t written);
/* virtio_push_many(): as virtq_push_many(). virtio_unpop() makes the chains popped last available again. */
void virtio_push_many(struct virtio_device *device, unsigned index, const struct virtq_used *used,
	unsigned count);
void virtio_unpop(struct virtio_device *device, unsigned index, unsigned count);
/* The chain popped last is in flight. virtio_end() pushes it, interrupts, and wakes a reset that waits. */
void virtio_begin(struct virtio_device *device, unsigned index);
void virtio_end(struct virtio_device *device, unsigned index, uint16_t head, uint32_t written);
/* Interrupts the driver if it wants an interrupt for what was pushed. */
void virtio_interrupt(struct virtio_device *device, unsigned index);

/*
 * Call one of these when bytes of the configuration space have changed, before the lock is released.
 * virtio_config_changed() also interrupts the driver; it returns false if no driver is running.
 */
void virtio_config_changed_silently(struct virtio_device *device);
bool virtio_config_changed(struct virtio_device *device);

/* The device cannot continue; the driver has to reset it (2.1.2). */
void virtio_needs_reset(struct virtio_device *device, const char *why);

/* The part common to these devices: a model's class lists it after the model's own part. */
extern const struct state_part virtio_state;

/* For the transport. */
/* Sets the driver's feature bits in `which` to those of `features`; ignored once FEATURES_OK is set. */
void virtio_take_features(struct virtio_device *device, uint64_t which, uint64_t features);
/* The driver has set the queue up. If the setup is invalid, the queue is not ready afterwards. */
void virtio_start_queue(struct virtio_device *device, unsigned index);
/* Returns once nothing of the queue is in flight (4.2.2.2); what was in flight is not pushed. */
void virtio_stop_queue(struct virtio_device *device, unsigned index);
void virtio_write_status(struct virtio_device *device, uint32_t status);

#endif
