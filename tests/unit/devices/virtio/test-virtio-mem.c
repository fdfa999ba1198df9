/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-mem: each request's verdict, the sizes, and a hundred thousand requests beside a model. */
#include <errno.h>
#include <stdio.h>

#include "devices/virtio/virtio-mem-node.h"
#include "tests/unit/helpers/mem-node.h"

static unsigned changes_reported;
static uint64_t reported_bytes;

static int setup(void **unused)
{
	make_node();
	set_u64("requested-size", REQUESTED);
	create();
	log_lines = changes_reported = 0;
	log_set_sink(count_log);
	start_driver(FEATURES);
	return 0;
}

static int teardown(void **unused)
{
	device_destroy(device);
	assert_int_equal(fake_loop_watches() + fake_loop_timers(), 0);
	free(node);
	node = NULL;
	return 0;
}

/* ---- Requests ---- */

static void plug_and_unplug(void **unused)
{
	assert_int_equal(ask(PLUG, 3, 4), ACK);
	assert_int_equal(used_len, 10);
	assert_int_equal(interrupts, 1);
	assert_int_equal(CONFIG(plugged_size), 4 * BLOCK);
	assert_true(window.plugged[3] && window.plugged[6] && !window.plugged[7]);
	assert_int_equal(ask(UNPLUG, 4, 2), ACK);
	assert_int_equal(CONFIG(plugged_size), 2 * BLOCK);
}

/* What another device's requests are about is not taken from under them. */
static void in_use_is_busy(void **unused)
{
	uint8_t *at = (uint8_t *)(uintptr_t)(1 * TiB); /* nobody goes there */
	const struct iovec part = { .iov_base = at + 5 * BLOCK - 1, .iov_len = 1 };
	struct guestmem_pin pin = { .parts = &part, .count = 1 };

	driver.mem.ranges[driver.mem.count++] =
		(struct guestmem_range){ .gpa = GPA, .size = WINDOW, .hva = at };
	assert_int_equal(ask(PLUG, 3, 4), ACK);
	guestmem_pin(&driver.mem, &pin);
	assert_int_equal(ask(UNPLUG, 3, 2), BUSY);
	assert_int_equal(ask(UNPLUG_ALL, 0, 0), BUSY);
	assert_int_equal(ask(UNPLUG, 5, 1), ACK);
	guestmem_unpin(&pin);
	assert_int_equal(ask(UNPLUG, 3, 2), ACK);
}

static void state_is_exact(void **unused)
{
	ask(PLUG, 3, 4);
	assert_int_equal(ask(STATE, 3, 4), ACK);
	assert_int_equal(state, VIRTIO_MEM_STATE_PLUGGED);
	assert_int_equal(ask(STATE, 0, 3), ACK);
	assert_int_equal(state, VIRTIO_MEM_STATE_UNPLUGGED);
	assert_int_equal(ask(STATE, 2, 2), ACK);
	assert_int_equal(state, VIRTIO_MEM_STATE_MIXED);
}

static void bad_ranges(void **unused)
{
	const uint64_t usable = (2 * GiB) / BLOCK;

	for (unsigned type = PLUG; type <= STATE; type++) {
		if (type == UNPLUG_ALL)
			continue;
		assert_int_equal(ask(type, 0, 0), ERROR);
		assert_int_equal(request(type, GPA + 4096, 1), ERROR);
		assert_int_equal(request(type, GPA - BLOCK, 1), ERROR);
		assert_int_equal(request(type, GPA - BLOCK, 2), ERROR);
		assert_int_equal(request(type, 0, 1), ERROR);
		assert_int_equal(request(type, -BLOCK, 65535), ERROR);
		assert_int_equal(ask(type, usable, 1), ERROR);
		assert_int_equal(ask(type, usable - 1, 2), ERROR);
		assert_int_equal(ask(type, 0, 65535), ERROR);
	}
	assert_int_equal(ask(STATE, usable - 1, 1), ACK);
	assert_int_equal(window.changes, 0);
	assert_in_range(log_lines, 1, 20); /* bounded */
}

static void wrong_state(void **unused)
{
	ask(PLUG, 10, 2);
	assert_int_equal(ask(PLUG, 11, 2), ERROR);
	assert_int_equal(ask(PLUG, 10, 1), ERROR);
	assert_int_equal(ask(UNPLUG, 9, 2), ERROR);
	assert_int_equal(ask(UNPLUG, 12, 1), ERROR);
	assert_int_equal(window.changes, 1);
}

static void unknown_type(void **unused)
{
	assert_int_equal(ask(4, 0, 1), ERROR);
	assert_int_equal(ask(65535, 0, 1), ERROR);
	assert_int_equal(used_len, 10);
}

static void plug_over_request(void **unused)
{
	assert_int_equal(ask(PLUG, 0, 511), ACK);
	assert_int_equal(ask(PLUG, 511, 2), NACK);
	assert_int_equal(ask(PLUG, 511, 1), ACK);
	assert_int_equal(ask(PLUG, 512, 1), NACK);
	assert_int_equal(virtio_mem_request(device, BLOCK), 0); /* below what is plugged */
	assert_int_equal(ask(PLUG, 512, 1), NACK);
}

/* A block's state is judged before the request's size, and that before resources. */
static void order_of_verdicts(void **unused)
{
	ask(PLUG, 0, 512);
	window.busy = true;
	assert_int_equal(ask(PLUG, 0, 1), ERROR);
	assert_int_equal(ask(PLUG, 512, 1), NACK);
	ask(UNPLUG, 0, 1);
	assert_int_equal(request(PLUG, GPA + 1, 1), ERROR);
	window.busy = false;
	ask(UNPLUG, 0, 1);
	window.busy = true;
	assert_int_equal(ask(PLUG, 0, 1), BUSY);
	assert_int_equal(CONFIG(plugged_size), 511 * BLOCK);
}

/* What the host refused last is known until it does something, or something else is asked for. */
static void the_host_s_refusal_is_remembered(void **unused)
{
	struct device_memory info;

	window.busy = true;
	assert_int_equal(ask(PLUG, 0, 1), BUSY);
	assert_int_equal(ask(PLUG, 0, 1024), NACK); /* by the device itself */
	device->class->memory(device, &info);
	assert_string_equal(info.refused, "the test says so");
	assert_int_equal(virtio_mem_request(device, 2 * BLOCK), 0);
	device->class->memory(device, &info);
	assert_null(info.refused);
	assert_int_equal(ask(PLUG, 0, 1), BUSY);
	window.busy = false;
	assert_int_equal(ask(PLUG, 0, 1), ACK);
	device->class->memory(device, &info);
	assert_null(info.refused);
}

static void short_buffers(void **unused)
{
	const struct {
		uint32_t req, resp;
		uint64_t req_gpa, resp_gpa;
	} bad[] = {
		{ 23, 10, RAM_GPA + REQ_AT, RAM_GPA + RESP_AT },
		{ 24, 9, RAM_GPA + REQ_AT, RAM_GPA + RESP_AT },
		{ 24, 10, 0x1000, RAM_GPA + RESP_AT },
		{ 24, 10, RAM_GPA + REQ_AT, 0x1000 },
		{ 24, 10, RAM_GPA + REQ_AT, GPA },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		driver_set(&driver, 0, bad[i].req_gpa, bad[i].req, VRING_DESC_F_NEXT, 1);
		driver_set(&driver, 1, bad[i].resp_gpa, bad[i].resp, VRING_DESC_F_WRITE, 0);
		ask(PLUG, 0, 1);
		assert_int_equal(used_len, 0);
		assert_int_equal(window.changes, 0);
	}
	assert_int_equal(mmio(VIRTIO_MMIO_STATUS, 4, false, 0), 15);
}

static void unplug_all(void **unused)
{
	ask(PLUG, 0, 200);
	virtio_mem_request(device, 64 * MiB);
	interrupts = 0;
	assert_int_equal(CONFIG(usable_region_size), 2 * GiB); /* it does not shrink yet */
	window.busy = true;
	assert_int_equal(ask(UNPLUG_ALL, 0, 0), BUSY);
	assert_int_equal(CONFIG(usable_region_size), 2 * GiB);
	window.busy = false;
	assert_int_equal(ask(UNPLUG_ALL, 0, 0), ACK);
	assert_int_equal(CONFIG(plugged_size), 0);
	assert_int_equal(CONFIG(usable_region_size), 64 * MiB + 1 * GiB);
	assert_int_equal(CONFIG(requested_size), 64 * MiB);
	/* used buffers only: no configuration interrupt */
	assert_int_equal(mmio(VIRTIO_MMIO_INTERRUPT_STATUS, 4, false, 0) & VIRTIO_MMIO_INT_CONFIG,
		VIRTIO_MMIO_INT_CONFIG); /* virtio_mem_request()'s */
	assert_int_equal(interrupts, 2);
}

static void sizes_follow_request(void **unused)
{
	static const struct {
		uint64_t requested, usable;
	} steps[] = {
		{ 1 * GiB, 2 * GiB },
		{ 0, 2 * GiB },
		{ 1 * GiB + BLOCK, 2 * GiB + BLOCK },
		{ 3 * GiB, 4 * GiB },
		{ 4 * GiB, 4 * GiB },
		{ BLOCK, 4 * GiB },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
		uint64_t generation = mmio(VIRTIO_MMIO_CONFIG_GENERATION, 4, false, 0);
		interrupts = 0;
		assert_int_equal(virtio_mem_request(device, steps[i].requested), 0);
		assert_int_equal(CONFIG(requested_size), steps[i].requested);
		assert_int_equal(CONFIG(usable_region_size), steps[i].usable);
		assert_int_equal(interrupts, 1);
		assert_int_equal(mmio(VIRTIO_MMIO_CONFIG_GENERATION, 4, false, 0), generation + 2);
	}
	assert_int_equal(virtio_mem_request(device, BLOCK + 1), -EINVAL);
	assert_int_equal(virtio_mem_request(device, WINDOW + BLOCK), -ERANGE);
	assert_int_equal(CONFIG(requested_size), BLOCK);
	virtio_mem_request(device, 0);
	ask(UNPLUG_ALL, 0, 0);
	assert_int_equal(CONFIG(usable_region_size), 0);
	assert_int_equal(ask(STATE, 0, 1), ERROR);
}

/* A driver that has given up for a while is notified again, one that has done it is not. */
static void request_again(void **unused)
{
	virtio_mem_request(device, 3 * BLOCK);
	ask(PLUG, 0, 2);
	interrupts = 0;
	assert_int_equal(virtio_mem_request(device, 3 * BLOCK), 0);
	assert_int_equal(interrupts, 1);
	ask(PLUG, 2, 1);
	interrupts = 0;
	assert_int_equal(virtio_mem_request(device, 3 * BLOCK), 0);
	assert_int_equal(interrupts, 0);
}

static void plugged_moves_generation(void **unused)
{
	uint64_t generation = mmio(VIRTIO_MMIO_CONFIG_GENERATION, 4, false, 0);

	ask(PLUG, 0, 1);
	assert_int_equal(mmio(VIRTIO_MMIO_CONFIG_GENERATION, 4, false, 0), generation + 2);
	ask(STATE, 0, 1);
	assert_int_equal(mmio(VIRTIO_MMIO_CONFIG_GENERATION, 4, false, 0), generation + 2);
}

static void hint_after_busy(void **unused)
{
	window.busy = true;
	ask(PLUG, 0, 1);
	interrupts = 0;
	fake_loop_advance(4000);
	assert_int_equal(interrupts, 0);
	fake_loop_advance(12000);
	assert_int_equal(interrupts, 3);
	ask(STATE, 0, 1); /* says nothing about resources */
	assert_int_equal(fake_loop_timers(), 1);
	window.busy = false;
	ask(PLUG, 0, 1);
	interrupts = 0;
	fake_loop_advance(60000);
	assert_int_equal(interrupts, 0);
	assert_int_equal(fake_loop_timers(), 0);
}

static void no_hint_when_content_or_gone(void **unused)
{
	window.busy = true;
	ask(PLUG, 0, 1);
	virtio_mem_request(device, 0);
	interrupts = 0;
	fake_loop_advance(60000);
	assert_int_equal(interrupts, 0);
	assert_int_equal(fake_loop_timers(), 0);

	virtio_mem_request(device, GiB);
	ask(PLUG, 0, 1);
	mmio(VIRTIO_MMIO_STATUS, 4, true, 0);
	interrupts = 0;
	fake_loop_advance(60000);
	assert_int_equal(interrupts, 0);
	assert_int_equal(fake_loop_timers(), 0);
}

static void driver_reset_changes_nothing(void **unused)
{
	ask(PLUG, 0, 7);
	start_driver(FEATURES);
	assert_int_equal(CONFIG(plugged_size), 7 * BLOCK);
	assert_int_equal(CONFIG(requested_size), REQUESTED);
	assert_int_equal(ask(STATE, 0, 7), ACK);
	assert_int_equal(state, VIRTIO_MEM_STATE_PLUGGED);
}

static void changed(struct device *which, void *opaque)
{
	struct device_memory info;

	assert_ptr_equal(which, device);
	assert_ptr_equal(opaque, &reported_bytes);
	assert_int_equal(pthread_mutex_trylock(&which->lock), 0); /* not held */
	pthread_mutex_unlock(&which->lock);
	which->class->memory(which, &info);
	reported_bytes = info.plugged_bytes;
	changes_reported++;
}

static void watch(void **unused)
{
	device_watch(device, changed, &reported_bytes);
	ask(PLUG, 0, 3);
	assert_int_equal(changes_reported, 1);
	assert_int_equal(reported_bytes, 3 * BLOCK);
	ask(PLUG, 0, 3);
	ask(STATE, 0, 3);
	virtio_mem_request(device, 2 * GiB);
	assert_int_equal(changes_reported, 1);
	ask(UNPLUG_ALL, 0, 0);
	assert_int_equal(changes_reported, 2);
	assert_int_equal(reported_bytes, 0);
}

/* What never changes (virtio 1.3, 5.15.4.2). */
static void assert_fixed(void)
{
	assert_int_equal(CONFIG(block_size), BLOCK);
	assert_int_equal(
		mmio(VIRTIO_MMIO_CONFIG + offsetof(struct virtio_mem_config, node_id), 2, false, 0),
		0);
	assert_int_equal(CONFIG(addr), GPA);
	assert_int_equal(CONFIG(region_size), WINDOW);
}

static void system_reset(void **unused)
{
	device_watch(device, changed, &reported_bytes);
	ask(PLUG, 0, 3);
	virtio_mem_request(device, 4 * GiB);
	virtio_mem_request(device, 128 * MiB);
	assert_int_equal(CONFIG(usable_region_size), 4 * GiB);
	window.busy = true;
	ask(PLUG, 5, 1);
	memset(window.plugged, 0, sizeof(window.plugged)); /* what the board does */
	virtio_mem_class.reset(device);
	assert_int_equal(CONFIG(plugged_size), 0);
	assert_int_equal(CONFIG(requested_size), 128 * MiB);
	assert_int_equal(CONFIG(usable_region_size), 128 * MiB + 1 * GiB);
	assert_int_equal(mmio(VIRTIO_MMIO_STATUS, 4, false, 0), 0);
	assert_int_equal(reported_bytes, 0);
	assert_int_equal(fake_loop_timers(), 0);
	assert_fixed();
}

/* Requests that wait when the machine goes down never reach the window. */
static void quiesce(void **unused)
{
	window.busy = true;
	ask(PLUG, 0, 1);
	window.busy = false;
	driver_offer(&driver, 0);
	mmio(VIRTIO_MMIO_QUEUE_NOTIFY, 4, true, 0);
	virtio_mem_class.quiesce(device);
	assert_int_equal(fake_loop_serve(), 0);
	mmio(VIRTIO_MMIO_QUEUE_NOTIFY, 4, true, 0); /* nor later ones */
	assert_int_equal(fake_loop_serve(), 1);
	assert_int_equal(window.changes, 0);
	assert_int_equal(fake_loop_timers(), 0);
}

/* Until the loop takes no more: the one that fails leaves nothing, as the sanitizers see. */
static void create_fails_cleanly(void **unused)
{
	struct device *made[32], *none = NULL;
	unsigned count = 0, before = fake_loop_watches();
	int err;

	while (!(err = device_create(&virtio_mem_class, node, &env, &made[count])))
		assert_true(++count < ARRAY_SIZE(made));
	assert_int_equal(err, -ENOSPC);
	assert_int_not_equal(device_create(&virtio_mem_class, node, &env, &none), 0);
	assert_null(none);
	while (count)
		device_destroy(made[--count]);
	assert_int_equal(fake_loop_watches(), before);
	device_destroy(NULL);
}

static void features(void **unused)
{
	start_driver(1ull << VIRTIO_F_VERSION_1);
	assert_int_equal(mmio(VIRTIO_MMIO_STATUS, 4, false, 0), 3);
	assert_int_equal(mmio(VIRTIO_MMIO_DEVICE_FEATURES, 4, false, 0) & 3, 2);

	device_destroy(device);
	set_u32("numa-node-id", 5);
	create();
	assert_int_equal(mmio(VIRTIO_MMIO_DEVICE_FEATURES, 4, false, 0) & 3, 3);
	assert_int_equal(CONFIG(node_id), 5);
	assert_int_equal(CONFIG(block_size), BLOCK);
	assert_int_equal(CONFIG(addr), GPA);
	assert_int_equal(CONFIG(region_size), WINDOW);
	assert_int_equal(mmio(VIRTIO_MMIO_DEVICE_ID, 4, false, 0), 24);
}

/* Random requests, many of them wrong, beside a model that is only a list of blocks and sizes. */
static void beside_a_model(void **unused)
{
	static bool plugged[BLOCKS];
	uint64_t seed = 20261122, requested = REQUESTED, usable = 2 * GiB, count = 0;
	unsigned seen[4][4] = { 0 };

	memset(plugged, 0, sizeof(plugged));
	for (unsigned i = 0; i < 100000; i++) {
		unsigned type, blocks, plugged_in_range = 0, expected, got;
		uint64_t first, gpa, in_usable;
		bool in_range;

#define RANDOM(n) ((seed = seed * 6364136223846793005u + 1442695040888963407u) >> 33) % (n)
		if (RANDOM(50) == 0) {
			requested = RANDOM(4) ? RANDOM(BLOCKS + 1) * BLOCK : 0;
			assert_int_equal(virtio_mem_request(device, requested), 0);
			if (requested && requested + 1 * GiB > usable)
				usable = requested + 1 * GiB < WINDOW ? requested + 1 * GiB
								      : WINDOW;
		}
		type = RANDOM(100);
		type = type < 45 ? PLUG : type < 75 ? UNPLUG : type < 99 ? STATE : UNPLUG_ALL;
		first = RANDOM(BLOCKS + 8);
		blocks = RANDOM(20) ? RANDOM(24) : RANDOM(65536);
		gpa = GPA + first * BLOCK + (RANDOM(30) ? 0 : RANDOM(BLOCK));
		if (RANDOM(30) == 0)
			gpa = RANDOM(GPA / BLOCK) * BLOCK; /* below the window */
		window.busy = RANDOM(8) == 0;

		in_usable = usable / BLOCK;
		in_range = blocks && gpa >= GPA && gpa % BLOCK == 0 && first + blocks <= in_usable;
		for (unsigned j = 0; in_range && j < blocks; j++)
			plugged_in_range += plugged[first + j];
		if (type == UNPLUG_ALL)
			expected = window.busy ? BUSY : ACK;
		else if (!in_range || (type == PLUG && plugged_in_range) ||
			 (type == UNPLUG && plugged_in_range != blocks))
			expected = ERROR;
		else if (type == PLUG && (count + blocks) * BLOCK > requested)
			expected = NACK;
		else
			expected = window.busy && type != STATE ? BUSY : ACK;

		got = request(type, gpa, blocks);
		assert_int_equal(got, expected);
		seen[type][got]++;
		if (got == ACK && type == STATE)
			assert_int_equal(state, !plugged_in_range ? VIRTIO_MEM_STATE_UNPLUGGED
						: plugged_in_range == blocks
							? VIRTIO_MEM_STATE_PLUGGED
							: VIRTIO_MEM_STATE_MIXED);
		if (got == ACK && (type == PLUG || type == UNPLUG)) {
			memset(plugged + first, type == PLUG, blocks);
			count += type == PLUG ? blocks : -(uint64_t)blocks;
		}
		if (got == ACK && type == UNPLUG_ALL) {
			memset(plugged, 0, sizeof(plugged));
			count = 0;
			assert_fixed();
			usable = !requested		    ? 0
				 : requested + GiB < WINDOW ? requested + GiB
							    : WINDOW;
		}
		assert_int_equal(CONFIG(plugged_size), count * BLOCK);
		assert_int_equal(CONFIG(usable_region_size), usable);
		if (i % 64 == 0)
			assert_memory_equal(plugged, window.plugged, sizeof(plugged));
	}
	/* the walk has been everywhere */
	for (unsigned type = PLUG; type <= STATE; type++)
		for (unsigned got = ACK; got <= ERROR; got++) {
			bool possible = got == ACK || (got == NACK && type == PLUG) ||
					(got == BUSY && type != STATE) ||
					(got == ERROR && type != UNPLUG_ALL);

			assert_int_equal(seen[type][got] > 0, possible);
		}
}

/* ---- The node ---- */

static void slot_bytes(void **unused)
{
	static const struct {
		uint64_t size, block;
		uint32_t memslots;
		uint64_t slot_size;
		unsigned max;
		uint64_t expected;
	} cases[] = {
		{ 64 * GiB, 2 * MiB, 32, 0, 1024, 2 * GiB },
		{ 64 * GiB, 2 * MiB, 1, 0, 1024, 64 * GiB },
		{ 64 * GiB, 2 * MiB, 1024, 0, 1024, 128 * MiB }, /* 64 MiB is below the unit */
		{ 10 * GiB, 2 * MiB, 3, 0, 1024, 3456 * MiB },	 /* 3413.3 MiB rounded up */
		{ 512 * MiB, 2 * MiB, 1, 0, 1024, 512 * MiB },
		{ 4 * GiB, 512 * MiB, 5, 0, 1024, 1 * GiB },
		{ 1 * GiB, 2 * MiB, 0, 0, 1024, 128 * MiB },
		{ 128 * GiB, 2 * MiB, 0, 0, 1024, 128 * MiB },
		{ 128 * GiB + 2 * MiB, 2 * MiB, 0, 0, 1024, 256 * MiB },
		{ 1 * TiB, 2 * MiB, 0, 0, 1024, 1 * GiB },
		{ 1 * TiB, 2 * MiB, 0, 0, 100, 16 * GiB },
		{ 1 * TiB, 2 * MiB, 0, 0, 1, 1 * TiB },
		{ 1 * TiB, 2 * MiB, 0, 0, 0, 1 * TiB },
		{ 1 * TiB, 2 * MiB, 0, 2 * MiB, 1, 2 * MiB },
		{ 64 * GiB, 512 * MiB, 0, 0, 1024, 512 * MiB },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(virtio_mem_slot_bytes(cases[i].size, cases[i].block,
					 cases[i].memslots, cases[i].slot_size, cases[i].max),
			cases[i].expected);
}

static void describe(void **unused)
{
	struct window_limits limits = { .host_page_bytes = 4 * KiB, .max_slots = 1024 };
	struct window_config config;

	make_node();
	virtio_mem_class.window(node, &limits, &config);
	assert_int_equal(config.gpa, GPA);
	assert_int_equal(config.size, WINDOW);
	assert_int_equal(config.block_bytes, 2 * MiB);
	assert_int_equal(config.slot_bytes, 128 * MiB);
	assert_int_equal(config.stray_reads, STRAY_READS_ZERO);
	limits.max_slots = 8;
	virtio_mem_class.window(node, &limits, &config);
	assert_int_equal(config.slot_bytes, 512 * MiB);
	limits.max_slots = 4;
	virtio_mem_class.window(node, &limits, &config);
	assert_int_equal(config.stray_reads, STRAY_READS_ZERO); /* 1 GiB is not above 1 GiB */
	limits.max_slots = 3;
	virtio_mem_class.window(node, &limits, &config);
	assert_int_equal(config.stray_reads, STRAY_READS_ABORT);
	set_u32("stray-reads", STRAY_READS_ZERO);
	virtio_mem_class.window(node, &limits, &config);
	assert_int_equal(config.stray_reads, STRAY_READS_ZERO);
	limits.host_page_bytes = 16 * KiB;
	virtio_mem_class.window(node, &limits, &config);
	assert_int_equal(config.block_bytes, 32 * MiB);
	limits.host_page_bytes = 64 * KiB;
	virtio_mem_class.window(node, &limits, &config);
	assert_int_equal(config.block_bytes, 2 * MiB);
	set_u64("block-size", 64 * MiB);
	virtio_mem_class.window(node, &limits, &config);
	assert_int_equal(config.block_bytes, 64 * MiB);
	free(node);
	node = NULL;
}

static char wrong[200]; /* the properties that were complained of */

__attribute__((format(printf, 3, 4))) static void note_error(
	struct device_check *check, const char *property, const char *format, ...)
{
	strcat(wrong, property);
	strcat(wrong, " ");
}

static const char *check(void)
{
	struct device_check device_check = { .error = note_error, .host_page_bytes = 16 * KiB };

	wrong[0] = 0;
	virtio_mem_class.check(node, &device_check);
	return wrong;
}

static void node_rules(void **unused)
{
	make_node();
	assert_string_equal(check(), "");
	set_u64("block-size", 3 * MiB);
	assert_string_equal(check(), "block-size ");
	set_u64("block-size", 4 * KiB); /* below the host's page */
	assert_string_equal(check(), "block-size ");
	set_u64("block-size", 0);
	set_u64("requested-size", 2 * MiB); /* of blocks of 32 MiB */
	assert_string_equal(check(), "requested-size ");
	set_u64("requested-size", WINDOW + 32 * MiB);
	assert_string_equal(check(), "requested-size ");
	set_u64("requested-size", WINDOW);
	assert_string_equal(check(), "");
	set_u64("slot-size", 2 * MiB);
	assert_string_equal(check(), "slot-size ");
	set_u64("slot-size", 64 * MiB);
	assert_string_equal(check(), "");
	set_u32("memslots", 2);
	assert_string_equal(check(), "slot-size ");
	set_u32("memslots", 0);
	set_region(GPA, WINDOW + 2 * MiB);
	assert_string_equal(check(), "memory-region ");
	set_region(GPA + 2 * MiB, WINDOW);
	assert_string_equal(check(), "memory-region ");
	set_region(0, 0);
	assert_string_equal(check(), "");
	free(node);
	node = NULL;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(plug_and_unplug),
		TEST(in_use_is_busy),
		TEST(state_is_exact),
		TEST(bad_ranges),
		TEST(wrong_state),
		TEST(unknown_type),
		TEST(plug_over_request),
		TEST(order_of_verdicts), TEST(the_host_s_refusal_is_remembered),
		TEST(short_buffers),
		TEST(unplug_all),
		TEST(sizes_follow_request),
		TEST(request_again),
		TEST(plugged_moves_generation),
		TEST(hint_after_busy),
		TEST(no_hint_when_content_or_gone),
		TEST(driver_reset_changes_nothing),
		TEST(watch),
		TEST(system_reset),
		TEST(quiesce),
		TEST(create_fails_cleanly),
		TEST(features),
		TEST(beside_a_model),
		cmocka_unit_test(slot_bytes),
		cmocka_unit_test(describe),
		cmocka_unit_test(node_rules),
	};

	return cmocka_run_group_tests_name("virtio-mem", tests, NULL, NULL);
}
