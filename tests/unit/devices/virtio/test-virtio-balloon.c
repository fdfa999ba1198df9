/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-balloon: what is freed of what the guest names, in how many calls, and what a hostile driver names. */
#include <errno.h>
#include <linux/virtio_balloon.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/virtio/virtio-balloon.h"
#include "devices/virtio/virtio-mmio.h"
#include "tests/unit/helpers/fake-window.h"
#include "hyp/base/util.h"
#include "hyp/kvm/kvm.h"
#include "tests/unit/helpers/queues-driver.h"
#include "tests/unit/helpers/unit.h"

enum { INFLATE, DEFLATE, REPORTING, STATISTICS = REPORTING, QUEUES = 5 };
#define PAGE	   4096 /* the balloon's, and this host's */
#define FIRST	   64	/* page of `ram` behind the queues */
#define PAGES	   32
#define BLOCK	   (2 * MiB)
#define WINDOW_GPA UINT64_C(0x100000000)
#define PFN(page)  ((uint32_t)(RAM_GPA / PAGE + (page)))

/* The host, counting, and as slow as a test wants. */
static unsigned calls;
static uint64_t call_ms, largest;

static int advise(void *at, size_t size, int advice)
{
	calls++;
	largest = size > largest ? size : largest;
	fake_loop_advance(call_ms);
	return kvm_kernel.advise(at, size, advice);
}

static struct kvm_seam host;
static struct window window = {
	.config = { .gpa = WINDOW_GPA, .size = 64 * BLOCK, .block_bytes = BLOCK },
};
static const struct device_env env = { .id = "balloon0",
	.transport = &virtio_mmio_transport,
	.loop = (struct loop *)&device,
	.mem = &memory,
	.irq = &irq,
	.registers = registers };
static unsigned changes;
static const struct virtio_balloon_node node = { .deflate_on_oom = 1 };

static void changed(struct device *of, void *opaque)
{
	changes++;
}

static void fill(void)
{
	memset(ram + FIRST * PAGE, 0x5a, PAGES * PAGE);
	calls = 0;
	largest = 0;
}

static int setup(void **unused)
{
	host = kvm_kernel;
	host.advise = advise;
	kvm_seam = &host;
	call_ms = changes = 0;
	assert_int_equal(device_create(&virtio_balloon_class, &node, &env, &device), 0);
	device_watch(device, changed, NULL);
	start(QUEUES, 1ull << VIRTIO_BALLOON_F_DEFLATE_ON_OOM | 1ull << 5);
	memory.ranges[memory.count++] = (struct guestmem_range){ WINDOW_GPA, 64 * BLOCK, ram,
		&window };
	memset(window.plugged, 0, sizeof(window.plugged));
	window.discarded = window.largest = 0;
	fill();
	return 0;
}

static int teardown(void **unused)
{
	device_destroy(device);
	kvm_seam = &kvm_kernel;
	assert_int_equal(fake_loop_watches() + fake_loop_timers(), 0);
	return 0;
}

/* Names pages on a queue, and waits until the chain is returned. */
static void name(unsigned queue, const uint32_t *pages, unsigned count)
{
	offer_bytes(queue, 0, pages, count * sizeof(*pages));
	notify(queue);
	assert_int_equal(used(queue)->idx, offered[queue]);
}

/* Which of the pages hold what they held: 'x', or zeros: '.'; the rest of `expected` is x. */
static void assert_pages(const char *expected)
{
	for (unsigned i = 0; i < PAGES; i++) {
		uint8_t wanted = i < strlen(expected) && expected[i] == '.' ? 0 : 0x5a;

		for (unsigned at = 0; at < PAGE; at++)
			if (ram[(FIRST + i) * PAGE + at] != wanted)
				fail_msg("page %u at %u is 0x%x", i, at,
					ram[(FIRST + i) * PAGE + at]);
	}
}

static void inflates_in_runs(void **unused)
{
	const uint32_t pages[] = { PFN(FIRST + 9), PFN(FIRST + 3), PFN(FIRST + 1), PFN(FIRST + 2),
		PFN(FIRST + 8), PFN(FIRST + 2), PFN(FIRST + 5) };

	assert_int_equal(mmio(VIRTIO_MMIO_DEVICE_ID, 4, false, 0), 5);
	name(INFLATE, pages, ARRAY_SIZE(pages));
	assert_pages("x...x.xx..");
	assert_int_equal(interrupts, 1);
	assert_int_equal(calls, 3);
	assert_int_equal(largest, 3 * PAGE);
}

/* Taken out again they are the guest's without more ado, whether they were in or not. */
static void deflates(void **unused)
{
	const uint32_t pages[] = { PFN(FIRST), 0, UINT32_MAX };

	name(DEFLATE, pages, ARRAY_SIZE(pages));
	assert_pages("");
	assert_int_equal(calls, 0);
}

/* Beside memory, unplugged, and what is no list; the good ones among them are not held up. */
static void hostile_lists(void **unused)
{
	const uint32_t first = WINDOW_GPA / PAGE, per_block = BLOCK / PAGE;
	const uint32_t pages[] = { 0, PFN(-1), PFN(sizeof(ram) / PAGE), UINT32_MAX, 0x8000000,
		PFN(FIRST + 1), first, first + per_block, first + 2 * per_block - 1,
		first + 2 * per_block };
	const uint64_t nowhere[] = { 0, RAM_GPA + sizeof(ram) - 2, UINT64_MAX - 2 };

	window.plugged[1] = true;
	name(INFLATE, pages, ARRAY_SIZE(pages));
	assert_pages("x.");
	assert_int_equal(
		window.discarded, PAGE); /* the run across the border is none of the guest's */
	fill();
	for (unsigned i = 0; i < ARRAY_SIZE(nowhere); i++) {
		offer_at(INFLATE, 0, nowhere[i], 16, 0);
		notify(INFLATE);
	}
	offer_bytes(INFLATE, 0, pages, 3); /* less than one */
	notify(INFLATE);
	offer_room(INFLATE, 0, 8);
	notify(INFLATE);
	assert_int_equal(used(INFLATE)->idx, offered[INFLATE]);
	assert_int_equal(calls, 0);
	assert_int_equal(mmio(VIRTIO_MMIO_STATUS, 4, false, 0), 15);
}

static void pinned_stays(void **unused)
{
	struct iovec part = { ram + (FIRST + 1) * PAGE + 100, 1 };
	struct guestmem_pin pin = { .parts = &part, .count = 1 };
	const uint32_t pages[] = { PFN(FIRST + 1), PFN(FIRST + 3) };

	guestmem_pin(&memory, &pin);
	name(INFLATE, pages, 2);
	assert_pages("xxx.");
	guestmem_unpin(&pin);
	name(INFLATE, pages, 2);
	assert_pages("x.x.");
}

/* 2^30 bytes of the same pages: a turn of the loop ends in time, and the next goes on. */
static void a_list_without_end(void **unused)
{
	struct vring_desc *desc = (struct vring_desc *)at(INFLATE, 0);
	uint32_t *list = (uint32_t *)(ram + 0x60000);
	unsigned turns = 0;

	for (unsigned i = 0; i < 0x10000 / 4; i++)
		list[i] = PFN(FIRST + i % PAGES);
	for (unsigned i = 0; i < QUEUE_SIZE; i++)
		desc[i] = (struct vring_desc){ gpa_of(list), 0x10000,
			i < QUEUE_SIZE - 1 ? VRING_DESC_F_NEXT : 0, (uint16_t)(i + 1) };
	((uint16_t *)at(INFLATE, AVAIL_AT))[2] = 0;
	((uint16_t *)at(INFLATE, AVAIL_AT))[1] = ++offered[INFLATE];
	call_ms = 2;
	mmio(VIRTIO_MMIO_QUEUE_NOTIFY, 4, true, INFLATE);
	while (!used(INFLATE)->idx) {
		calls = 0;
		assert_int_equal(fake_loop_serve(), 1);
		assert_in_range(calls, 1, 4); /* until 5 ms are over, and one more */
		turns++;
	}
	assert_in_range(turns, 4096 / 4, 4096); /* of 0x80000 bytes in steps of 128 */
	assert_pages("................................");
	/* The next begins at its beginning. */
	fill();
	name(INFLATE, (const uint32_t[]){ PFN(FIRST) }, 1);
	assert_pages(".");
}

/* A step of pages that do not touch is as many calls: a turn ends after any of them, and none is made twice. */
static void a_step_is_many_calls(void **unused)
{
	const unsigned each = 2; /* ms: three calls a turn */
	uint32_t pages[2 * PAGES];
	unsigned all = 0;

	for (unsigned i = 0; i < PAGES; i++)
		pages[i] = PFN(FIRST + PAGES - 2 - i * 2 % PAGES);
	for (unsigned i = 0; i < PAGES; i++)
		pages[PAGES + i] = PFN(FIRST + PAGES - 1 - i * 2 % PAGES);
	call_ms = each;
	offer_bytes(INFLATE, 0, pages, sizeof(pages));
	mmio(VIRTIO_MMIO_QUEUE_NOTIFY, 4, true, INFLATE);
	for (unsigned turns = 0; !used(INFLATE)->idx; turns++) {
		calls = 0;
		assert_in_range(turns, 0, PAGES / 3);
		assert_int_equal(fake_loop_serve(), 1);
		assert_in_range(calls, 1, 3);
		all += calls;
	}
	assert_int_equal(all, PAGES);
	assert_pages("................................");
}

static void report(unsigned queue, uint64_t gpa, uint32_t len)
{
	offer_at(queue, 0, gpa, len, VRING_DESC_F_WRITE);
	notify(queue);
}

/* A driver that goes in the middle of one leaves nothing of how far it came: in each queue. */
static void a_reset_within_a_chain(void **unused)
{
	static const unsigned queues[] = { INFLATE, REPORTING, QUEUES - 1 };

	for (unsigned i = 0; i < ARRAY_SIZE(queues); i++) {
		const unsigned queue = queues[i];
		const uint16_t write = queue == INFLATE ? 0 : VRING_DESC_F_WRITE;
		struct vring_desc *desc = (struct vring_desc *)at(queue, 0);

		/* Two pages reported, or a list longer than a step; and each call is a turn of the loop. */
		for (unsigned page = 0; page < 64; page++)
			((uint32_t *)buffer(queue, 0))[page] = PFN(FIRST + page % PAGES);
		offer_at(queue, 1, RAM_GPA + (FIRST + 1) * PAGE, PAGE, write);
		desc[0] = (struct vring_desc){ RAM_GPA + FIRST * PAGE, PAGE,
			VRING_DESC_F_NEXT | write, 1 };
		if (queue == INFLATE)
			desc[0].addr = gpa_of(buffer(queue, 0));
		((uint16_t *)at(queue, AVAIL_AT))[2] = 0;
		call_ms = 6;
		notify(queue);
		call_ms = 0;
		assert_int_equal(used(queue)->idx, 0);
		start(QUEUES, 1ull << 5);
		fill();
		if (queue == INFLATE)
			name(queue, (const uint32_t[]){ PFN(FIRST) }, 1);
		else
			report(queue, RAM_GPA + FIRST * PAGE, PAGE);
		assert_int_equal(used(queue)->idx, 1);
		assert_pages(".");
	}
}

/* On queue 4 where the specification has it, and on 2 where Linux does. */
static void free_pages_are_reported(void **unused)
{
	for (unsigned queue = REPORTING; queue < QUEUES; queue++) {
		fill();
		report(queue, RAM_GPA + (FIRST + 2) * PAGE, 4 * PAGE);
		assert_int_equal(used(queue)->idx, 1);
		assert_int_equal(last_used(queue), 0);
		assert_pages("xx....");
		fill();
		report(queue, RAM_GPA + (FIRST + 2) * PAGE + 1, 2 * PAGE);
		assert_pages("xxx.");
		report(queue, UINT64_MAX - 1, UINT32_MAX);
		report(queue, 0, PAGE);
		report(queue, RAM_GPA + sizeof(ram), PAGE);
		assert_int_equal(used(queue)->idx, offered[queue]);
		assert_pages("xxx.");
		assert_int_equal(calls, 1);
		assert_int_equal(mmio(VIRTIO_MMIO_STATUS, 4, false, 0), 15);
	}
}

/* A chain that ends when the turn does is returned in it. */
static void the_end_of_a_turn(void **unused)
{
	call_ms = 6;
	name(INFLATE, (const uint32_t[]){ PFN(FIRST) }, 1);
	assert_pages(".");
	report(REPORTING, RAM_GPA + (FIRST + 1) * PAGE, PAGE);
	assert_int_equal(used(REPORTING)->idx, 1);
	assert_pages("..");
}

/* Each queue takes so many chains; nothing is left of a device whose queues could not be made. */
static void its_queues(void **unused)
{
	struct device *none = NULL;

	for (unsigned q = 0; q < QUEUES; q++) {
		mmio(VIRTIO_MMIO_QUEUE_SEL, 4, true, q);
		assert_int_equal(mmio(VIRTIO_MMIO_QUEUE_NUM_MAX, 4, false, 0), 128);
	}
	for (unsigned nth = 1; nth <= QUEUES; nth++) {
		unsigned watches = fake_loop_watches();

		fake_loop_refuse(nth);
		assert_int_equal(device_create(&virtio_balloon_class, &node, &env, &none), -ENOSPC);
		assert_int_equal(fake_loop_watches(), watches);
	}
	fake_loop_refuse(0);
	assert_null(none);
}

static void a_large_report_goes_in_steps(void **unused)
{
	memset(window.plugged, 1, 64);
	report(REPORTING, WINDOW_GPA, 64 * BLOCK);
	assert_int_equal(used(REPORTING)->idx, 1);
	assert_int_equal(window.discarded, 64 * BLOCK);
	assert_int_equal(window.largest, 16 * MiB);
}

static void sizes(void **unused)
{
	virtio_balloon_request(device, 10 * PAGE + 1);
	assert_int_equal(interrupts, 1);
	assert_int_equal(mmio(VIRTIO_MMIO_CONFIG, 4, false, 0), 10);
	assert_int_equal(virtio_balloon_requested(device), 10 * PAGE);
	virtio_balloon_request(device, 10 * PAGE);
	assert_int_equal(interrupts, 1);
	mmio(VIRTIO_MMIO_CONFIG + 4, 4, true, 7);
	assert_int_equal(virtio_balloon_actual(device), 7 * PAGE);
	assert_int_equal(mmio(VIRTIO_MMIO_CONFIG + 4, 4, false, 0), 7);
	fake_loop_serve();
	assert_int_equal(changes, 1);
	/* Nothing else of it can be written, nor a part. */
	mmio(VIRTIO_MMIO_CONFIG, 4, true, 99);
	mmio(VIRTIO_MMIO_CONFIG, 8, true, UINT64_MAX);
	mmio(VIRTIO_MMIO_CONFIG + 4, 2, true, 99);
	mmio(VIRTIO_MMIO_CONFIG + 5, 4, true, 99);
	mmio(VIRTIO_MMIO_CONFIG + 8, 4, true, 99);
	assert_int_equal(mmio(VIRTIO_MMIO_CONFIG, 8, false, 0), UINT64_C(7) << 32 | 10);
	assert_int_equal(mmio(VIRTIO_MMIO_CONFIG + 8, 8, false, 0), 0);
	/* Its balloon goes with a driver, and what was asked for stays. */
	virtio_balloon_class.reset(device);
	assert_int_equal(changes, 2);
	assert_int_equal(virtio_balloon_actual(device), 0);
	assert_int_equal(virtio_balloon_requested(device), 10 * PAGE);
	virtio_balloon_request(device, UINT64_C(1) << 44); /* one page more than it can say */
	assert_int_equal(mmio(VIRTIO_MMIO_CONFIG, 4, false, 0), UINT32_MAX);
	virtio_balloon_request(device, UINT64_MAX);
	assert_int_equal(mmio(VIRTIO_MMIO_CONFIG, 4, false, 0), UINT32_MAX);
}

/* Offers the one buffer of statistics, each entry a tag and a value. */
#define STATS_FEATURES (1ull << VIRTIO_BALLOON_F_STATS_VQ | 1ull << VIRTIO_BALLOON_F_MUST_TELL_HOST)
static void offer_statistics(
	unsigned index, const struct virtio_balloon_stat *stats, unsigned count)
{
	offer_bytes(STATISTICS, index, stats, count * sizeof(*stats));
	notify(STATISTICS);
}

static void statistics(void **unused)
{
	const struct virtio_balloon_stat stats[] = { { VIRTIO_BALLOON_S_AVAIL, 7 * MiB },
		{ 999, 1 }, { VIRTIO_BALLOON_S_MEMTOT, UINT64_C(1) << 40 }, { 10, 5 } };
	struct virtio_balloon_stat many[100] = { { 0 } };
	struct balloon_statistics got;

	virtio_balloon_statistics(device, &got);
	assert_int_equal(got.updated_sec, 0);
	assert_int_equal(got.value[VIRTIO_BALLOON_S_AVAIL], BALLOON_STATISTIC_UNKNOWN);
	start(QUEUES, STATS_FEATURES);
	offer_statistics(0, stats, ARRAY_SIZE(stats));
	virtio_balloon_statistics(device, &got);
	assert_int_not_equal(got.updated_sec, 0);
	assert_int_equal(got.value[VIRTIO_BALLOON_S_AVAIL], 7 * MiB);
	assert_int_equal(got.value[VIRTIO_BALLOON_S_MEMTOT], UINT64_C(1) << 40);
	assert_int_equal(got.value[VIRTIO_BALLOON_S_SWAP_IN], BALLOON_STATISTIC_UNKNOWN);
	assert_int_equal(got.plugged_bytes, 0);
	/* The buffer is held until others are wanted, each interval. */
	assert_int_equal(used(STATISTICS)->idx, 0);
	assert_int_equal(fake_loop_timers(), 0);
	virtio_balloon_set_interval(device, 2);
	assert_int_equal(virtio_balloon_interval(device), 2);
	fake_loop_advance(1999);
	assert_int_equal(used(STATISTICS)->idx, 0);
	interrupts = 0;
	fake_loop_advance(1);
	assert_int_equal(used(STATISTICS)->idx, 1);
	assert_int_equal(interrupts, 1);
	/* A driver that does not answer is not asked again. */
	fake_loop_advance(10000);
	assert_int_equal(used(STATISTICS)->idx, 1);
	/* All of it is new. More entries than there are tags are not read, nor a buffer that is none. */
	many[31] = (struct virtio_balloon_stat){ VIRTIO_BALLOON_S_MEMFREE, 31 };
	many[32] = (struct virtio_balloon_stat){ VIRTIO_BALLOON_S_AVAIL, 32 };
	memory.ranges[memory.count++] = (struct guestmem_range){ WINDOW_GPA, 64 * BLOCK, ram,
		&window };
	window.plugged[3] = window.plugged[5] = true;
	offer_statistics(0, many, 100);
	virtio_balloon_statistics(device, &got);
	assert_int_equal(got.value[VIRTIO_BALLOON_S_MEMFREE], 31);
	assert_int_equal(got.plugged_bytes, 2 * BLOCK);
	assert_int_equal(got.value[VIRTIO_BALLOON_S_AVAIL], BALLOON_STATISTIC_UNKNOWN);
	offer_room(STATISTICS, 2, 10);
	notify(STATISTICS); /* a second one: the first is returned */
	assert_int_equal(used(STATISTICS)->idx, 2);
	virtio_balloon_statistics(device, &got);
	assert_int_equal(got.updated_sec, 0);
	/* A driver that goes takes its buffer with it. */
	start(QUEUES, STATS_FEATURES);
	fake_loop_advance(2000);
	assert_int_equal(used(STATISTICS)->idx, 0);
	virtio_balloon_set_interval(device, 0);
	assert_int_equal(fake_loop_timers(), 0);
}

/* With statistics, reports come on the next queue, or where the specification has it. */
static void reports_beside_statistics(void **unused)
{
	start(QUEUES, STATS_FEATURES | 1ull << 5);
	fill();
	report(3, RAM_GPA + FIRST * PAGE, PAGE);
	report(4, RAM_GPA + (FIRST + 1) * PAGE, PAGE);
	assert_pages("..");
	report(STATISTICS, RAM_GPA + (FIRST + 2) * PAGE, PAGE);
	assert_pages("..x");
}

static void the_node_says_what_is_offered(void **unused)
{
	static const struct virtio_balloon_node quiet = { .statistics_interval_sec = 3 };

	mmio(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 4, true, 0);
	assert_int_equal(mmio(VIRTIO_MMIO_DEVICE_FEATURES, 4, false, 0) & 0x27, 0x27);
	device_destroy(device);
	assert_int_equal(device_create(&virtio_balloon_class, &quiet, &env, &device), 0);
	mmio(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 4, true, 0);
	assert_int_equal(mmio(VIRTIO_MMIO_DEVICE_FEATURES, 4, false, 0) & 0x27, 0x23);
	assert_int_equal(virtio_balloon_interval(device), 3);
	assert_int_equal(fake_loop_timers(), 1);
}

static uint32_t requested_pages(void)
{
	return (uint32_t)mmio(VIRTIO_MMIO_CONFIG, 4, false, 0);
}

static void says_it_holds(uint32_t pages)
{
	mmio(VIRTIO_MMIO_CONFIG + 4, 4, true, pages);
	fake_loop_serve();
}

/* A guest that takes pages out though more are asked for is left alone, longer each time. */
static void no_fight_over_the_last_page(void **unused)
{
	unsigned ms = 5000;

	virtio_balloon_request(device, 1000 * PAGE);
	says_it_holds(500);
	for (unsigned round = 0; round < 6; round++) {
		says_it_holds(400);
		assert_int_equal(requested_pages(), 400);
		assert_int_equal(virtio_balloon_requested(device), 1000 * PAGE);
		fake_loop_advance(ms - 1);
		assert_int_equal(requested_pages(), 400);
		fake_loop_advance(1);
		assert_int_equal(requested_pages(), 1000);
		says_it_holds(450);
		assert_int_equal(requested_pages(), 1000); /* it grows */
		ms = 2 * ms < 60000 ? 2 * ms : 60000;
	}
	/* It holds all of it, then is asked for less: no fight is that. */
	says_it_holds(1000);
	virtio_balloon_request(device, 10 * PAGE);
	says_it_holds(600);
	assert_int_equal(requested_pages(), 10);
	says_it_holds(10);
	assert_int_equal(fake_loop_timers(), 0);
	/* Another request, and another driver, begin anew. */
	virtio_balloon_request(device, 1000 * PAGE);
	says_it_holds(5);
	assert_int_equal(requested_pages(), 5);
	virtio_balloon_request(device, 900 * PAGE);
	assert_int_equal(requested_pages(), 900);
	says_it_holds(3);
	assert_int_equal(requested_pages(), 3);
	start(QUEUES, 0);
	assert_int_equal(requested_pages(), 900);
	fake_loop_advance(5000);
	assert_int_equal(requested_pages(), 900);
}

/* What was freed of what the guest put in. */
static void what_was_freed_is_counted(void **unused)
{
	const uint32_t some[] = { PFN(FIRST), PFN(FIRST + 2), 0, UINT32_MAX };

	start(QUEUES, STATS_FEATURES);
	fill();
	name(INFLATE, some, 4);
	assert_int_equal(virtio_balloon_given(device), 2 * PAGE);
	name(DEFLATE, some + 1, 3);
	assert_int_equal(virtio_balloon_given(device), PAGE);
	start(QUEUES, STATS_FEATURES);
	assert_int_equal(virtio_balloon_given(device), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(inflates_in_runs),
		T(deflates),
		T(hostile_lists),
		T(pinned_stays),
		T(a_list_without_end),
		T(a_step_is_many_calls),
		T(a_reset_within_a_chain),
		T(free_pages_are_reported),
		T(a_large_report_goes_in_steps),
		T(the_end_of_a_turn),
		T(its_queues),
		T(sizes),
		T(statistics),
		T(reports_beside_statistics),
		T(the_node_says_what_is_offered),
		T(no_fight_over_the_last_page),
		T(what_was_freed_is_counted),
	};

	if (sysconf(_SC_PAGESIZE) != PAGE) {
		puts("1..0 # SKIP for hosts with pages of 4K");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
