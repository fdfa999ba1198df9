/* SPDX-License-Identifier: Apache-2.0 */
/* Records of state that are whole, with values that no device comes to: such a state is refused. */
#include <errno.h>
#include <linux/virtio_config.h>
#include <string.h>

#include "devices/arm/pl011.h"
#include "devices/arm/pl061.h"
#include "devices/arm/sp805.h"
#include "devices/virtio/virtio-balloon.h"
#include "devices/virtio/virtio-blk.h"
#include "devices/virtio/virtio-console.h"
#include "devices/virtio/virtio-net.h"
#include "devices/virtio/virtio-vsock.h"
#include "tests/unit/helpers/fake-disk.h"
#include "tests/unit/helpers/fake-network.h"
#include "tests/unit/helpers/state-bench.h"

static void assert_unfit(const char *name, unsigned element, uint64_t value)
{
	uint8_t wrong[RECORDS_MAX];

	memcpy(wrong, records, sound_bytes);
	set_value(record_of(wrong, name), element, value);
	assert_refused(name, wrong, sound_bytes, -EINVAL);
}

static void queues_that_cannot_be(void **unused)
{
	struct virtio_device *virtio;

	make_running(&virtio_mem_class);
	virtio = container_of(device, struct virtio_device, base);
	assert_unfit("status", 0, 31);
	assert_unfit("status", 0, 7);  /* DRIVER_OK without FEATURES_OK */
	assert_unfit("status", 0, 13); /* FEATURES_OK without DRIVER */
	assert_unfit("status", 0, 3);  /* a queue is ready before FEATURES_OK */
	assert_unfit("driver-features", 0, virtio->features | 1ull << 60);
	assert_unfit("driver-features", 0, virtio->features & ~(1ull << VIRTIO_F_VERSION_1));
	assert_unfit("queue-size", 0, 3);
	assert_unfit("queue-size", 0, 0);
	assert_unfit("queue-size", 0, 256);
	assert_unfit("queue-desc", 0, 0x1008);
	assert_unfit("queue-avail", 0, 0x2001);
	assert_unfit("queue-used", 0, 0x3002);
	assert_unfit("queue-next-avail", 0, 3);
	assert_unfit("queue-next-avail", 0, 65533);
	assert_unfit("queue-event-idx", 0, 0);
	assert_unfit("queue-indirect", 0, 0);
	assert_int_equal(device_put_state(device, records, sound_bytes), 0);
	/* One more than the device has. */
	virtio->state.queues[1] = virtio->state.queues[0];
	write_all(records);
	assert_refused("two queues", records, sound_bytes, -EINVAL);
	end();
}

static void sizes_that_cannot_be(void **unused)
{
	make_running(&virtio_mem_class);
	assert_unfit("usable-region-size", 0, window.config.size + BLOCK);
	assert_unfit("usable-region-size", 0, BLOCK); /* less than is plugged */
	assert_unfit("requested-size", 0, BLOCK / 2);
	assert_unfit("requested-size", 0, window.config.size + BLOCK);
	end();
	make(&virtio_net_class);
	sound_bytes = write_all(records);
	assert_unfit("active", 0, PAIRS + 1);
	end();
	make(&sp805_class);
	set("taken-ns", 0, 100);
	sound_bytes = write_all(records);
	assert_unfit("start-ns", 0, 101);
	assert_unfit("bitten-ns", 0, 101);
	end();
}

/* Those on which a model relies, or which would make it do another thing than it could come to. */
static void values_out_of_bounds(void **unused)
{
	static const struct {
		const struct device_class *class;
		const char *name;
		uint64_t value;
	} cases[] = {
		{ &pl011_class, "rx-first", 16 },
		{ &pl011_class, "rx-count", 17 },
		{ &pl011_class, "tx-first", 16 },
		{ &pl011_class, "tx-count", 17 },
		{ &pl011_class, "idle-reads", 9 },
		{ &pl011_class, "cr", 0x10000 },
		{ &pl011_class, "imsc", 0x800 },
		{ &pl061_class, "in", 0x100 },
		{ &pl061_class, "held", PL061_PULSES_MAX + 1 },
		{ &sp805_class, "control", 4 },
		{ &sp805_class, "counts", 2 },
		{ &sp805_class, "taken-ns", 1ull << 63 },
		{ &virtio_balloon_class, "interrupt-status", 4 },
		{ &virtio_balloon_class, "again-ms", 4999 },
		{ &virtio_balloon_class, "again-ms", 60001 },
		{ &virtio_balloon_class, "again-left-ms", 60001 },
		{ &virtio_balloon_class, "interval-sec", VIRTIO_BALLOON_INTERVAL_MAX + 1 },
		{ &virtio_blk_class, "disk-bytes", FAKE_DISK_BYTES - 512 },
		{ &virtio_console_class, "port-pending", 1 << 5 },
		{ &virtio_console_class, "ports", PORT_COUNT + 1 },
		{ &virtio_mem_class, "block-size", BLOCK / 2 },
		{ &virtio_mem_class, "node", 1 },
		{ &virtio_mem_class, "addr", 8 * GiB },
		{ &virtio_mem_class, "region-size", 2 * BLOCK },
		{ &virtio_mem_class, "plugged-size", BLOCK },
		{ &virtio_net_class, "active", 0 },
		{ &virtio_net_class, "active", 256 - 1 },
		{ &virtio_vsock_class, "cid", 4 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t wrong[RECORDS_MAX];

		make(cases[i].class);
		device_take_state(device, wrong);
		sound_bytes = device_state_bytes(cases[i].class);
		set_value(record_of(wrong, cases[i].name), 0, cases[i].value);
		assert_refused(cases[i].name, wrong, sound_bytes, -ERANGE);
		end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STATE_TEST(queues_that_cannot_be),
		STATE_TEST(sizes_that_cannot_be),
		STATE_TEST(values_out_of_bounds),
	};

	return cmocka_run_group_tests_name("device-state-values", tests, NULL, NULL);
}
