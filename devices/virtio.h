/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device core of virtio 1.2, section 2: status, features, queues, notifications. A virtio
 * device embeds a `struct virtio_device`, describes itself with a const `struct virtio_class`, and
 * serves its queues with virtio_pop() and virtio_push(). How the driver reaches it is the
 * transport's concern: virtio-mmio.c.
 *
 * Threads and the lock: the driver's register accesses come on vCPU threads with device->lock
 * held. `serve` is called on the event loop's thread without it, and takes it around everything
 * here. A driver's reset may come between any two takings; virtio_pop() then finds nothing.
 *
 * A device may answer a chain later: virtio_begin() once it has popped it, and virtio_end(). While
 * such are in flight a driver's reset waits in its vCPU, since nothing may touch its memory after
 * (2.4.1); they end on the loop, so whoever makes the loop wait for vCPUs calls virtio_drain() first.
 */
#ifndef SLUICE_DEVICES_VIRTIO_H
#define SLUICE_DEVICES_VIRTIO_H

#include "devices/device.h"
#include "devices/virtq.h"
#include "hyp/log.h"
#include "hyp/loop.h"

#define VIRTIO_QUEUES_MAX 17 /* of a network card: eight pairs, and one for control */

#define VIRTIO_FEATURE(bit) (UINT64_C(1) << (bit))

struct virtio_device;

/* A kind of virtio device, as data. */
struct virtio_class {
	uint32_t device_id;	 /* virtio 1.2, section 5 */
	unsigned queue_count;	 /* at most VIRTIO_QUEUES_MAX */
	uint32_t queue_size_max; /* a power of two, at most VIRTQ_SIZE_MAX */
	/* Device feature bits (those of the core come on top), and which the driver must take. */
	uint64_t features, required_features;
	uint64_t joined_features;  /* of which it takes all or none */
	uint64_t without_features; /* of the core's, that this device does not offer */
	size_t config_bytes;	   /* of the configuration space */
	/* The driver has notified queue `index`: pop, answer, and virtio_interrupt() at the end. */
	void (*serve)(struct virtio_device *device, unsigned index);
	/* Of a device that has chains in flight: waits for one to end, and ends it. Without the lock. */
	void (*wait)(struct virtio_device *device);
	/*
	 * Of a device whose queues others serve (vhost.h): once it returns, nothing of theirs touches queue
	 * `index`. With the lock, on any thread. May be NULL.
	 */
	void (*halt)(struct virtio_device *device, unsigned index);
	/* The driver resets the device: what it knows of this driver goes too. With the lock, any thread. */
	void (*reset)(struct virtio_device *device);
	/* The driver writes bytes of the configuration space. With the lock, on a vCPU's thread. */
	void (*write_config)(
		struct virtio_device *device, uint64_t offset, unsigned size, uint64_t value);
};

/* What the driver has set up: plain data, all zero after a reset but for config_generation. */
struct virtio_state {
	uint32_t status;	   /* 2.1 */
	uint32_t interrupt_status; /* 4.2.2: used buffer, configuration change */
	uint32_t config_generation;
	uint32_t device_features_sel, driver_features_sel, queue_sel;
	uint64_t driver_features;
	struct virtq queues[VIRTIO_QUEUES_MAX];
};

/* How a queue hears of notifications: the doorbell's eventfd, watched by the loop. */
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

	/* Chains in flight, of each queue and of all; and how many resets wait until there are none. */
	unsigned in_flight[VIRTIO_QUEUES_MAX], all_in_flight, resets;
	unsigned runs; /* goes up with each reset: another driver */
	pthread_cond_t drained;

	struct virtio_kick kicks[VIRTIO_QUEUES_MAX];
	struct mmio_doorbell doorbells[VIRTIO_QUEUES_MAX + 1]; /* and the transport's own */
	unsigned budget;       /* chains virtio_pop() may still give in this call of `serve` */
	uint64_t turn_ends_ms; /* nor does it give any after this */
	struct log_limit complaints;
	bool served_elsewhere; /* by who interrupts without us: a used buffer may be there at any time */
};

/*
 * Fills a zeroed device, `features` being those of this one beyond the class's. Its region is the
 * transport's. 0 or -errno, with nothing to finish.
 */
int virtio_init(struct virtio_device *device, const struct device_class *device_class,
	const struct virtio_class *class, const struct device_env *env, uint64_t features,
	const void *config);
/* Before queues are served for another reason than a notification: as for one, the turn is bounded. */
void virtio_begin_turn(struct virtio_device *device);
bool virtio_turn_is_over(const struct virtio_device *device);
/* `serve` is called for queue `index` in a later turn, as by a notification. Any thread. */
void virtio_kick(struct virtio_device *device, unsigned index);
/* Takes a half-made device too, as long as it was zeroed. On the loop's thread. */
void virtio_finish(struct virtio_device *device);
/* System reset: a driver's reset, and notifications that wait are forgotten. Takes the lock. */
void virtio_system_reset(struct virtio_device *device);
/* On the loop's thread, without the lock: ends all that is in flight. */
void virtio_drain(struct virtio_device *device);

/* What follows is called with device->lock held. */

/* Whether the driver has set up queue `index`, and the device runs. */
bool virtio_queue_runs(const struct virtio_device *device, unsigned index);

/*
 * Takes the next chain of queue `index`. False when there is none or the device does not run. At
 * most a ring full in one call of `serve`; the rest comes in the next, so that no guest keeps the
 * loop to itself. Nor any while a ring full is in flight.
 */
bool virtio_pop(struct virtio_device *device, unsigned index, struct virtq_chain *ret);
/* Gives back what is there now, unread and without an interrupt: no more than a ring full. */
void virtio_drop(struct virtio_device *device, unsigned index);
/* Whether there is a next one. Unlike virtio_pop() where there is none, it asks for no notification. */
bool virtio_waits(const struct virtio_device *device, unsigned index);
void virtio_push(struct virtio_device *device, unsigned index, uint16_t head, uint32_t written);
/* Several at once, as virtq_push_many(); and the last ones popped not used, as virtq_unpop(). */
void virtio_push_many(struct virtio_device *device, unsigned index, const struct virtq_used *used,
	unsigned count);
void virtio_unpop(struct virtio_device *device, unsigned index, unsigned count);
/* The chain popped last is in flight; its end pushes it, interrupts, and serves who waited for it. */
void virtio_begin(struct virtio_device *device, unsigned index);
void virtio_end(struct virtio_device *device, unsigned index, uint16_t head, uint32_t written);
/* Interrupts the driver if it wants to hear of what was pushed. */
void virtio_interrupt(struct virtio_device *device, unsigned index);

/*
 * To be called when bytes of the configuration space have changed: before the lock is released.
 * The second also tells the driver; false where none runs.
 */
void virtio_config_changed_silently(struct virtio_device *device);
bool virtio_config_changed(struct virtio_device *device);

/* The device can go on no more; the driver has to reset it (2.1.2). */
void virtio_needs_reset(struct virtio_device *device, const char *why);

/* For the transport. */
/* Returns once nothing of the queue is in flight (4.2.2.2); none of that is pushed any more. */
void virtio_stop_queue(struct virtio_device *device, unsigned index);
void virtio_write_status(struct virtio_device *device, uint32_t status);

#endif
