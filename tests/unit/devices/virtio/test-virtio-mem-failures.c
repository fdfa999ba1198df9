/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio-mem device on a real window, two listeners and a host that fails: random requests
 * beside a model that is only a list of blocks and sizes, with calls that fail at random, and a
 * script of requests with each call failing in turn. Device, listeners, the kernel's mappings and
 * the model agree at every step, and what a block holds is never lost.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "devices/virtio/virtio-mem-node.h"
#include "devices/virtio/virtio-mem.h"
#include "tests/unit/helpers/fake-kvm.h"
#include "tests/unit/helpers/fake-listener.h"
#include "hyp/kvm/irq.h"
#include "hyp/memory/kvm-slots.h"
#include "hyp/memory/slots.h"
#include "hyp/memory/window-internal.h"
#include "tests/unit/helpers/mem-driver.h"

#define BLOCK	   (64 * KiB)
#define BLOCKS_MAX 64
#define GPA	   (4 * GiB)

/* Shapes of windows: blocks, blocks a slot, what reads see, what is behind, whether unmaps are expensive. */
static const struct shape {
	unsigned blocks, slot_blocks;
	enum stray_reads reads;
	enum backing_kind backing;
	bool expensive_unmaps;
} shapes[] = {
	{ 64, 8, STRAY_READS_ZERO, BACKING_ANONYMOUS },
	{ 61, 1, STRAY_READS_ABORT, BACKING_ANONYMOUS },
	{ 64, 64, STRAY_READS_ZERO, BACKING_MEMFD },
	{ 50, 7, STRAY_READS_ABORT, BACKING_MEMFD }, /* the last slot is shorter */
	{ 64, 4, STRAY_READS_ZERO, BACKING_ANONYMOUS, true },
	{ 50, 7, STRAY_READS_ZERO, BACKING_MEMFD, true },
};

static const struct shape *shape;
static struct kvm_slots kvm;
static struct fake_listener vhost;
static struct slots slots;
static struct window *window;

static struct {
	bool plugged[BLOCKS_MAX];
	uint64_t stamp[BLOCKS_MAX];
	uint64_t count, requested, usable; /* blocks */
} model;

/* ---- Allocations, which fail by turn too ---- */

static unsigned allocations, allocation_fails_at;

void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_calloc(size_t count, size_t size)
{
	return ++allocations == allocation_fails_at ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return ++allocations == allocation_fails_at ? NULL : __real_realloc(old, size);
}

/* ---- The bench ---- */

static void set_irq(struct irq_line *line, bool level)
{
	assert_device_locked();
	interrupts += level;
}

static struct irq_line irq = { .set = set_irq };

static uint64_t usable_of(uint64_t requested)
{
	return requested ? shape->blocks : 0; /* these windows are below 1 GiB */
}

/* -ENOMEM where an allocation fails, with nothing left. */
static int create(const struct shape *new_shape)
{
	struct window_config config = {
		.name = "vmem0",
		.gpa = GPA,
		.size = new_shape->blocks * BLOCK,
		.block_bytes = BLOCK,
		.slot_bytes = new_shape->slot_blocks * BLOCK,
		.stray_reads = new_shape->reads,
		.backing = new_shape->backing,
		.expensive_unmaps = new_shape->expensive_unmaps,
	};
	static struct device_env env = { .id = "vmem0",
		.transport = &direct_transport,
		.loop = (struct loop *)&driver,
		.mem = &driver.mem,
		.irq = &irq };
	static struct virtio_mem_node node;
	int err;

	shape = new_shape;
	memset(&model, 0, sizeof(model));
	fake_kvm_install();
	slots_init(&slots);
	kvm_slots_init(&kvm, 64);
	kvm.vm_fd = FAKE_KVM_FD;
	fake_listener_init(&vhost, "vhost", 64);
	assert_int_equal(slots_add_listener(&slots, &kvm.listener), 0);
	assert_int_equal(slots_add_listener(&slots, &vhost.listener), 0);
	err = window_create(&config, env.loop, &window);
	if (err)
		return err;
	if (!shape->expensive_unmaps)
		window->drain_bytes = 2 * BLOCK;
	window_attach(window, &slots);
	env.window = window;
	virtio_mem_class.defaults(&node);
	node.requested_size = 0;
	err = device_create(&virtio_mem_class, &node, &env, &device);
	if (err) {
		window_destroy(window);
		return err;
	}
	start_driver(FEATURES);
	return 0;
}

static void destroy(void)
{
	slots_forget(&slots);
	assert_int_equal(window_detach(window), 0);
	device_destroy(device);
	window_destroy(window);
	slots_finish(&slots);
	assert_int_equal(fake_loop_watches() + fake_loop_timers(), 0);
}

static uint64_t *word_of(unsigned block)
{
	return (uint64_t *)(window_hva(window) + block * BLOCK + block * 8);
}

static unsigned drained_seen; /* blocks of slots that were about to close */

/* All that can be seen is what the model says. */
static void compare(bool with_mappings)
{
	unsigned in_slots = 0;
	uint64_t exposed;

	assert_int_equal(CONFIG(plugged_size), model.count * BLOCK);
	assert_int_equal(CONFIG(requested_size), model.requested * BLOCK);
	assert_int_equal(CONFIG(usable_region_size), model.usable * BLOCK);
	assert_int_equal(vhost.plugged_all, model.count * BLOCK);
	for (unsigned block = 0; block < shape->blocks; block++) {
		bool in_kvm = fake_kvm_slot_at(GPA + block * BLOCK) != NULL;

		if (model.plugged[block]) {
			assert_true(in_kvm);
			assert_int_equal(*word_of(block), model.stamp[block]);
		} else if (shape->reads == STRAY_READS_ZERO && !window->reclaim_size) {
			const struct slot *slot = &window->slot[block / shape->slot_blocks];

			if (block % shape->slot_blocks * BLOCK >= slot->drained)
				assert_int_equal(*word_of(block), 0);
			else
				drained_seen++;
			assert_true(!slot->drained || !slot->plugged_blocks);
		}
		in_slots += in_kvm;
	}
	assert_true(in_slots >= model.count);
	if (!with_mappings)
		return;
	assert_int_equal(window_exposed_bytes(window, &exposed), 0);
	if (window->reclaim_size) /* refused twice: asked for again each second */
		assert_in_range(
			exposed, model.count * BLOCK, model.count * BLOCK + window->reclaim_size);
	else
		assert_int_equal(exposed, model.count * BLOCK);
}

static unsigned failures(void)
{
	return fake_kvm.failed + vhost.failed +
	       (allocation_fails_at && allocations >= allocation_fails_at);
}

/* The answer that virtio 1.3, 5.15.6 asks for, were the host never short of anything. */
static int verdict(unsigned type, uint64_t offset, unsigned blocks, unsigned *ret_state)
{
	uint64_t first = offset / BLOCK;
	unsigned plugged = 0;

	if (type > STATE)
		return ERROR;
	if (type == UNPLUG_ALL)
		return ACK;
	if (!blocks || offset % BLOCK || first >= model.usable || blocks > model.usable - first)
		return ERROR;
	for (uint64_t block = first; block < first + blocks; block++)
		plugged += model.plugged[block];
	*ret_state = !plugged		 ? VIRTIO_MEM_STATE_UNPLUGGED
		     : plugged == blocks ? VIRTIO_MEM_STATE_PLUGGED
					 : VIRTIO_MEM_STATE_MIXED;
	if (type == PLUG && plugged)
		return ERROR;
	if (type == UNPLUG && plugged != blocks)
		return ERROR;
	if (type == PLUG && model.count + blocks > model.requested)
		return NACK;
	return ACK;
}

static unsigned acked, busy;

static void set_blocks(uint64_t first, unsigned blocks, bool plugged)
{
	static uint64_t stamps;

	for (uint64_t block = first; block < first + blocks; block++) {
		model.plugged[block] = plugged;
		if (!plugged)
			continue;
		assert_int_equal(*word_of((unsigned)block), 0);
		*word_of((unsigned)block) = model.stamp[block] = ++stamps;
	}
	model.count += plugged ? blocks : -(uint64_t)blocks;
}

static void do_request(unsigned type, uint64_t offset, unsigned blocks)
{
	unsigned before = failures(), expected_state = 0;
	bool pending = window->reclaim_size != 0;
	int expected = verdict(type, offset, blocks, &expected_state);
	int answer = request(type, GPA + offset, blocks);

	if (answer == BUSY && expected == ACK && type != STATE) {
		assert_true(pending || failures() > before);
		busy++;
		return;
	}
	assert_int_equal(answer, expected);
	if (answer != ACK)
		return;
	acked++;
	switch (type) {
	case PLUG:
	case UNPLUG:
		set_blocks(offset / BLOCK, blocks, type == PLUG);
		break;
	case UNPLUG_ALL:
		memset(model.plugged, 0, sizeof(model.plugged));
		model.count = 0;
		model.usable = usable_of(model.requested);
		break;
	default:
		assert_int_equal(state, expected_state);
	}
}

static void do_host_request(uint64_t blocks)
{
	assert_int_equal(virtio_mem_request(device, blocks * BLOCK), 0);
	model.requested = blocks;
	if (usable_of(blocks) > model.usable)
		model.usable = usable_of(blocks);
}

/* As board/machine/machine.c does it; a host that cannot empty the memory ends the machine there. */
static void do_system_reset(void)
{
	unsigned fail_one_in = fake_kvm.fail_one_in;

	virtio_mem_class.quiesce(device);
	slots_forget(&slots);
	memset(fake_kvm.slots, 0, sizeof(fake_kvm.slots));
	fake_kvm.open = 0;
	fake_kvm.fail_one_in = 0;
	assert_int_equal(window_detach(window), 0);
	fake_kvm.fail_one_in = fail_one_in;
	virtio_mem_class.reset(device);
	kvm.vm_fd = FAKE_KVM_FD;
	window_attach(window, &slots);
	start_driver(FEATURES);
	memset(model.plugged, 0, sizeof(model.plugged));
	model.count = 0;
	model.usable = usable_of(model.requested);
}

static void set_failing(unsigned one_in)
{
	fake_kvm.fail_one_in = vhost.fail_one_in = one_in;
}

/* Nothing fails any more: what waits goes through, and only slots that hold something stay. */
static void settle(void)
{
	unsigned slots_used = 0;

	set_failing(0);
	fake_kvm.fail_at = vhost.fail_at = allocation_fails_at = 0;
	for (unsigned i = 0; i < 5; i++)
		fake_loop_advance(1000);
	assert_int_equal(window->reclaim_size, 0);
	for (unsigned slot = 0; slot < window_slot_count(window); slot++) {
		struct window_slot info;

		window_slot(window, slot, &info);
		slots_used += info.plugged_bytes != 0;
		assert_int_equal(info.open, info.plugged_bytes != 0);
	}
	assert_int_equal(fake_kvm.open, slots_used);
	assert_int_equal(vhost.open_count, slots_used);
	assert_int_equal(slots.open, slots_used);
	compare(true);
}

static unsigned seed;

static unsigned random_below(unsigned n)
{
	return (unsigned)rand_r(&seed) % n;
}

static void one_step(void)
{
	unsigned dice = random_below(100), block = random_below(shape->blocks);
	unsigned run = 1 + random_below(12);

	if (dice < 75) /* what fits, so that much is carried out */
		do_request(model.plugged[block] ? UNPLUG : PLUG, block * BLOCK,
			random_below(3) ? 1 : run);
	else if (dice < 80)
		do_request(STATE, block * BLOCK, run);
	else if (dice < 84)
		do_request(random_below(6),
			block * BLOCK + (random_below(3) ? 0 : random_below(BLOCK)),
			random_below(4) ? random_below(shape->blocks + 4) : random_below(65536));
	else if (dice < 86)
		do_request(UNPLUG_ALL, 0, 0);
	else if (dice < 92)
		do_host_request(random_below(shape->blocks + 1));
	else if (dice < 93)
		start_driver(FEATURES); /* a device reset changes no block */
	else if (dice < 94)
		do_system_reset();
	else
		fake_loop_advance(random_below(1500));
}

static void random_requests(void **unused)
{
	enum { STEPS = 120000, PHASE = 500 };
	const char *wanted = getenv("SEED");

	seed = wanted ? (unsigned)strtoul(wanted, NULL, 0) : 20250531;
	print_message("# SEED=%u\n", seed);
	acked = busy = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(shapes); i++) {
		assert_int_equal(create(&shapes[i]), 0);
		for (unsigned step = 0; step < STEPS / ARRAY_SIZE(shapes); step++) {
			static const unsigned one_in[] = { 0, 50, 8, 2 };

			if (step % PHASE == 0) {
				settle();
				set_failing(one_in[step / PHASE % ARRAY_SIZE(one_in)]);
			}
			one_step();
			compare(step % 16 == 0);
		}
		settle();
		destroy();
	}
	assert_true(acked > STEPS / 4);
	assert_true(busy > STEPS / 20);
	assert_true(drained_seen > 0);
}

/* The same requests each time. */
static void script(void)
{
	seed = 7;
	do_host_request(shape->blocks);
	for (unsigned i = 0; i < 60; i++) {
		one_step();
		compare(i % 8 == 0);
	}
}

/* `fail_at` is whose calls fail: each of them in turn, until the script makes no more. */
static void each_in_turn(unsigned *fail_at, const unsigned *calls)
{
	for (unsigned i = 0; i < ARRAY_SIZE(shapes); i++)
		for (unsigned at = 1;; at++) {
			bool reached;

			assert_int_equal(create(&shapes[i]), 0);
			*(unsigned *)calls = 0;
			*fail_at = at;
			script();
			reached = *calls >= at;
			settle();
			destroy();
			if (!reached) {
				assert_true(at > 1);
				break;
			}
		}
}

static void each_call_of_the_host_fails_in_turn(void **unused)
{
	each_in_turn(&fake_kvm.fail_at, &fake_kvm.calls);
}

static void each_call_of_a_listener_fails_in_turn(void **unused)
{
	each_in_turn(&vhost.fail_at, &vhost.calls);
}

static void each_allocation_fails_in_turn(void **unused)
{
	each_in_turn(&allocation_fails_at, &allocations);
	/* ... and those of making the device. */
	for (unsigned at = 1;; at++) {
		int err;

		allocations = 0;
		allocation_fails_at = at;
		err = create(&shapes[0]);
		allocation_fails_at = 0;
		if (!err) {
			destroy();
			assert_true(at > 3);
			break;
		}
		assert_int_equal(err, -ENOMEM);
		slots_finish(&slots);
		assert_int_equal(fake_loop_watches() + fake_loop_timers(), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_requests),
		cmocka_unit_test(each_call_of_the_host_fails_in_turn),
		cmocka_unit_test(each_call_of_a_listener_fails_in_turn),
		cmocka_unit_test(each_allocation_fails_in_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
