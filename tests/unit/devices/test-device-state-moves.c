/* SPDX-License-Identifier: Apache-2.0 */
/* A device whose state was taken out of another goes on where that was. */
#include <errno.h>
#include <linux/virtio_mmio.h>
#include <sys/eventfd.h>

#include "devices/arm/pl011.h"
#include "devices/arm/pl031.h"
#include "devices/arm/pl061.h"
#include "devices/arm/sp805.h"
#include "devices/virtio/virtio-balloon.h"
#include "devices/virtio/virtio-blk.h"
#include "devices/virtio/virtio-console.h"
#include "devices/virtio/virtio-net.h"
#include "tests/unit/helpers/fake-clock.h"
#include "tests/unit/helpers/fake-disk.h"
#include "tests/unit/helpers/fake-network.h"
#include "tests/unit/helpers/state-bench.h"

/* The state of `device` in another of its class, after the host has been away for an hour. */
static void move(void)
{
	const struct device_class *class = device->class;

	device_take_state(device, records);
	end();
	fake_loop_run_tasks();
	fake_clock_epoch_ms += 3600 * 1000;
	fake_loop_advance_alone(3600 * 1000);
	make(class);
	assert_int_equal(device_put_state(device, records, device_state_bytes(class)), 0);
	fake_loop_run_tasks();
}

static uint32_t read32(uint64_t offset)
{
	return (uint32_t)mmio(offset, 4, false, 0);
}

static void write32(uint64_t offset, uint32_t value)
{
	mmio(offset, 4, true, value);
	fake_loop_run_tasks();
}

/* The line is driven, whichever way it was. */
static void lines_are_driven_again(void **unused)
{
	make(&pl031_class);
	set("ris", 0, 1);
	set("imsc", 0, 1);
	move();
	assert_true(line_high);
	sound_bytes = write_all(records);
	set_value(record_of(records, "imsc"), 0, 0);
	assert_int_equal(device_put_state(device, records, sound_bytes), 0);
	assert_false(line_high);
	line_high = true; /* as a controller may have it that was restored */
	assert_int_equal(device_put_state(device, records, sound_bytes), 0);
	assert_false(line_high);
	end();
}

static void clock_stood_still(void **unused)
{
	uint32_t now;

	make(&pl031_class);
	write32(0x008, 1000); /* RTCLR */
	write32(0x010, 1);    /* RTCIMSC */
	write32(0x004, 1010); /* RTCMR */
	now = read32(0x000);
	move();
	assert_int_equal(read32(0x000), now);
	fake_loop_advance(8000);
	assert_false(line_high);
	fake_loop_advance(3000);
	assert_true(line_high);
	/* A reset makes it the host's again. */
	device->class->reset(device);
	assert_int_equal(read32(0x000), fake_clock_s());
	end();
}

static unsigned bites;

static void bitten(struct device *watchdog, enum watchdog_action action, void *opaque)
{
	bites++;
}

static void watchdog_goes_on(void **unused)
{
	bites = 0;
	make(&sp805_class);
	write32(0x000, 24000000 * 2u); /* WdogLoad: two seconds */
	write32(0x008, 3);	       /* WdogControl */
	fake_loop_advance(1500);
	move();
	sp805_class.watchdog(device, bitten, NULL);
	fake_loop_advance(300);
	assert_false(line_high);
	fake_loop_advance(400);
	assert_true(line_high);
	fake_loop_run_tasks();
	fake_loop_advance(1500);
	assert_int_equal(bites, 0);
	fake_loop_advance(1000);
	assert_int_equal(bites, 1);
	end();
}

/* Time that passes in a pause before its state is taken, or after it was put, is none for it. */
static void watchdog_that_was_paused(void **unused)
{
	make(&sp805_class);
	write32(0x000, 24000000 * 2u);
	write32(0x008, 3);
	fake_loop_advance(1500);
	device->class->pause(device, true);
	fake_loop_advance(5000);
	move();
	device->class->pause(device, true);
	fake_loop_advance(5000);
	assert_false(line_high);
	/* Of a machine that was paused before. */
	sound_bytes = write_all(records);
	device->class->pause(device, false);
	fake_loop_advance(300);
	device->class->pause(device, true);
	fake_loop_advance(5000);
	assert_int_equal(device_put_state(device, records, sound_bytes), 0);
	fake_loop_run_tasks();
	fake_loop_advance(5000);
	assert_false(line_high);
	device->class->pause(device, false);
	fake_loop_run_tasks();
	fake_loop_advance(300);
	assert_false(line_high);
	fake_loop_advance(400);
	assert_true(line_high);
	end();
}

static void uart_goes_on(void **unused)
{
	make(&pl011_class);
	write32(0x038, 0x10); /* UARTIMSC: receive */
	write32(0x030, 0x301);
	assert_int_equal(ends[0].client->receive(ends[0].client, (const uint8_t *)"ab", 2), 1);
	write32(0x000, 'x'); /* which the host's end does not take yet */
	mmio(0x044, 4, true, 0x10);
	assert_false(line_high);
	move();
	fake_loop_advance(10);
	assert_true(line_high); /* for what was not read */
	assert_int_equal(read32(0x000), 'a');
	assert_int_equal(read32(0x018) & 0x08, 0x08); /* busy */
	/* The new end offered something before, and takes what the old one did not. */
	sound_bytes = write_all(records);
	end();
	make(&pl011_class);
	assert_int_equal(ends[0].client->receive(ends[0].client, (const uint8_t *)"c", 1), 0);
	end_takes = true;
	end_resumed = 0;
	assert_int_equal(device_put_state(device, records, sound_bytes), 0);
	end_takes = false;
	assert_int_equal(end_written, 'x');
	assert_int_equal(end_resumed, 1);
	assert_int_equal(read32(0x018) & 0x08, 0);
	end();
}

static void press_goes_on(void **unused)
{
	make(&pl061_class);
	pl061_pulse(device, 3);
	pl061_pulse(device, 3);
	move();
	assert_int_equal(get("in", 0), 8);
	assert_int_equal(get("presses", 3), 1);
	fake_loop_advance(PL061_PULSE_MS);
	assert_int_equal(get("in", 0), 0);
	fake_loop_advance(PL061_PULSE_MS);
	assert_int_equal(get("in", 0), 8);
	assert_int_equal(get("presses", 3), 0);
	end();
}

/* With a driver that runs, all queues are served, the driver is interrupted, and the registers are shown again. */
static void driver_goes_on(void **unused)
{
	struct virtio_device *virtio;
	eventfd_t kicked;

	make_running(&virtio_console_class);
	virtio = container_of(device, struct virtio_device, base);
	interrupts = 0;
	assert_int_equal(device_put_state(device, records, sound_bytes), 0);
	assert_int_equal(interrupts, 1);
	assert_int_equal(
		read32(VIRTIO_MMIO_STATUS), 15); /* and what is shown is the same (mmio.h) */
	assert_int_equal(read32(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_USED_BUFFER);
	for (unsigned i = 0; i < virtio->class->queue_count; i++)
		assert_int_equal(eventfd_read(virtio->kicks[i].watch.fd, &kicked), 0);
	end();
}

static void memory_is_hinted_at(void **unused)
{
	make_running(&virtio_mem_class);
	set_value(record_of(records, "requested-size"), 0, 3 * BLOCK);
	for (unsigned busy = 0; busy < 2; busy++) {
		set_value(record_of(records, "busy"), 0, busy);
		assert_int_equal(device_put_state(device, records, sound_bytes), 0);
		interrupts = 0;
		assert_int_equal(fake_loop_timers(), busy);
		fake_loop_advance(5000);
		assert_int_equal(interrupts, busy);
		move();
		assert_int_equal(fake_loop_timers(), busy);
	}
	/* It has what it is to have: the driver is notified once more, no more. The board fills the window before. */
	set("requested-size", 0, get("plugged-size", 0));
	fake_loop_advance(5000);
	window.plugged[6] = true;
	move();
	assert_int_equal(fake_loop_timers(), 0);
	assert_int_equal(get("plugged-size", 0), 3 * BLOCK);
	window.plugged[6] = false;
	end();
}

static void balloon_is_left_alone(void **unused)
{
	make_running(&virtio_balloon_class);
	set_value(record_of(records, "requested"), 0, 512);
	set_value(record_of(records, "num-pages"), 0, 100);
	set_value(record_of(records, "again-left-ms"), 0, 4000);
	set_value(record_of(records, "interval-sec"), 0, 7);
	assert_int_equal(device_put_state(device, records, sound_bytes), 0);
	assert_int_equal(virtio_balloon_interval(device), 7);
	fake_loop_advance(1000);
	move();
	fake_loop_advance(2900);
	assert_int_equal(mmio(VIRTIO_MMIO_CONFIG, 4, false, 0), 100);
	fake_loop_advance(200);
	assert_int_equal(mmio(VIRTIO_MMIO_CONFIG, 4, false, 0), 512);
	assert_int_equal(fake_loop_timers(), 1); /* the interval's */
	device_take_state(device, again);
	assert_int_equal(get("again-left-ms", 0), 0);
	end();
}

/* One that is due, and not yet reported, is asked again at once. */
static void balloon_that_is_due(void **unused)
{
	make_running(&virtio_balloon_class);
	set_value(record_of(records, "again-left-ms"), 0, 4000);
	assert_int_equal(device_put_state(device, records, sound_bytes), 0);
	fake_loop_advance_alone(9000);
	device_take_state(device, again);
	assert_int_equal(get("again-left-ms", 0), 1);
	set_value(record_of(records, "again-left-ms"), 0, 0);
	assert_int_equal(device_put_state(device, records, sound_bytes), 0);
	assert_int_equal(fake_loop_timers(), 0);
	end();
}

static void ports_are_announced_again(void **unused)
{
	make_running(&virtio_console_class);
	set_value(record_of(records, "port-ready"), 1, 1);
	set_value(record_of(records, "port-ready"), 5, 1); /* which it has not */
	assert_int_equal(device_put_state(device, records, sound_bytes), 0);
	assert_int_equal(get("port-pending", 0), 0);
	assert_int_not_equal(get("port-pending", 1), 0);
	assert_int_equal(get("port-pending", 5), 0);
	end();
}

static void lost_disk_stays_lost(void **unused)
{
	make(&virtio_blk_class);
	move();
	assert_int_equal(get("lost", 0), 0);
	sound_bytes = write_all(records);
	set_value(record_of(records, "lost"), 0, 1);
	assert_int_equal(device_put_state(device, records, sound_bytes), 0);
	assert_true(fake_disk_lost);
	device_take_state(device, records);
	end();
	make(&virtio_blk_class);
	assert_false(fake_disk_lost);
	fake_disk_lost = true;
	device_take_state(device, records);
	assert_int_equal(get("lost", 0), 1);
	assert_int_equal(get("disk-bytes", 0), FAKE_DISK_BYTES);
	end();
	/* Somebody has cut it meanwhile. */
	fake_disk_bytes -= 512;
	make(&virtio_blk_class);
	assert_int_equal(device_put_state(device, records, sound_bytes), -ERANGE);
	fake_disk_bytes += 512;
	end();
}

/* Its address is the guest's, its pairs and its cable as they were. */
static void card_goes_on(void **unused)
{
	make_running(&virtio_net_class);
	for (unsigned i = 0; i < 6; i++)
		set_value(record_of(records, "mac"), i, 2 * i + 2);
	set_value(record_of(records, "active"), 0, 2);
	set_value(record_of(records, "pulled"), 0, 1);
	assert_int_equal(device_put_state(device, records, sound_bytes), 0);
	move();
	assert_true(mmio(VIRTIO_MMIO_CONFIG, 8, false, 0) == 0x00000c0a08060402);
	assert_true(others[0].active);
	assert_false(others[1].active);
	virtio_net_set_link(device, true);
	assert_int_equal(mmio(VIRTIO_MMIO_CONFIG + 6, 2, false, 0), 1);
	/* A driver that was reset, which the device has not noticed yet, has one pair. */
	write32(VIRTIO_MMIO_STATUS, 0);
	set_value(record_of(records, "active"), 0, 3);
	device_take_state(device, again);
	assert_int_equal(get("active", 0), 1);
	assert_int_equal(device_put_state(device, records, device_state_bytes(device->class)), 0);
	device_take_state(device, again);
	assert_int_equal(get("active", 0), 3);
	end();
}

static void card_without_all_pairs(void **unused)
{
	make_running(&virtio_net_class);
	set_value(record_of(records, "active"), 0, 3);
	log_lines = 0;
	refuse_active = 2;
	assert_int_equal(device_put_state(device, records, sound_bytes), 0);
	refuse_active = 0;
	assert_int_equal(log_lines, 1);
	device_take_state(device, records);
	assert_int_equal(get("active", 0), 2);
	end();
}

/* A virtio device of any class takes no chains while the machine is paused: its `pause` comes to virtio_pause(). */
static void every_driver_is_paused(void **unused)
{
	const struct device_class *class;

	for (unsigned i = 0; (class = class_at(i)); i++) {
		if (class->kind != DEVICE_VIRTIO)
			continue;
		make(class);
		assert_non_null(class->pause);
		class->pause(device, true);
		assert_true(container_of(device, struct virtio_device, base)->paused);
		class->pause(device, false);
		assert_false(container_of(device, struct virtio_device, base)->paused);
		end();
	}
}

/* While a system reset frees memory, which takes turns, no notification makes a device take chains from there. */
static void every_driver_is_quiesced(void **unused)
{
	const struct device_class *class;

	for (unsigned i = 0; (class = class_at(i)); i++) {
		if (class->kind != DEVICE_VIRTIO)
			continue;
		make_running(class);
		assert_non_null(class->quiesce);
		class->quiesce(device);
		for (unsigned n = 0; n < VIRTIO_QUEUES_MAX; n++)
			assert_false(virtio_queue_runs(
				container_of(device, struct virtio_device, base), n));
		end();
	}
}

static void check_values(const struct device_class *class, const struct device_value *values)
{
	static const char *const types[] = { "size", "uint64", "int", "bool" };

	for (const struct device_value *value = values; value && value->name; value++) {
		bool known = false;

		for (size_t i = 0; i < ARRAY_SIZE(types); i++)
			known |= !strcmp(types[i], value->type);
		if (value->members ? value->get || value->set || known : !value->get || !known)
			fail_msg("%s: %s is neither a structure nor a value of a known type",
				class->compatible, value->name);
		if (value->set && !strcmp(value->type, "bool") == !!value->expects)
			fail_msg("%s: %s can be set, and nothing says what it expects",
				class->compatible, value->name);
		check_values(class, value->members);
	}
}

/* What control.c relies on in each class. */
static void every_table_of_values_is_whole(void **unused)
{
	const struct device_class *class;

	for (unsigned i = 0; (class = class_at(i)); i++) {
		const struct device_value *value = class->values;
		bool by_value = class->event.kind == EVENT_VALUE || class->event.kind == EVENT_LEFT;

		check_values(class, value);
		assert_true(!class->event.kind == !class->event.name);
		while (by_value && value && value->name && value != class->event.value)
			value++;
		if (by_value && (!value || !value->name || !value->get))
			fail_msg("%s: the event's value is none of its values", class->compatible);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STATE_TEST(lines_are_driven_again),
		STATE_TEST(clock_stood_still),
		STATE_TEST(watchdog_goes_on),
		STATE_TEST(watchdog_that_was_paused),
		STATE_TEST(uart_goes_on),
		STATE_TEST(press_goes_on),
		STATE_TEST(driver_goes_on),
		STATE_TEST(memory_is_hinted_at),
		STATE_TEST(balloon_is_left_alone),
		STATE_TEST(balloon_that_is_due),
		STATE_TEST(ports_are_announced_again),
		STATE_TEST(lost_disk_stays_lost),
		STATE_TEST(card_goes_on),
		STATE_TEST(card_without_all_pairs),
		STATE_TEST(every_driver_is_paused),
		STATE_TEST(every_driver_is_quiesced),
		cmocka_unit_test(every_table_of_values_is_whole),
	};

	return cmocka_run_group_tests_name("device-state-moves", tests, NULL, NULL);
}
