/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver that reads the configuration space from memory, without exits, while the device changes it
 * (2.5.1): it reads the generation, the space, and the generation again.
 */
#include <linux/virtio_mmio.h>
#include <stdatomic.h>
#include <string.h>

#include "devices/virtio/virtio-mmio.h"
#include "devices/virtio/virtio.h"
#include "hyp/base/util.h"
#include "hyp/kvm/irq.h"
#include "hyp/kvm/registers.h"
#include "tests/unit/helpers/race.h"

#define WORDS	16
#define CHANGES 200

static _Alignas(8) uint8_t page[0x200];
static uint32_t config[WORDS];
static struct virtio_device tested;

static void no_interrupt(struct irq_line *line, bool level)
{
}

static void serve(struct virtio_device *device, unsigned index)
{
}

static const struct virtio_class class = { .device_id = 42,
	.queue_count = 1,
	.queue_size_max = 8,
	.config_bytes = sizeof(config),
	.serve = serve };
static struct irq_line irq = { .set = no_interrupt };
static struct loop *loop;
static struct device_env env = {
	.id = "test0", .transport = &virtio_mmio_transport, .irq = &irq, .registers = page
};

static int set_up(void **state)
{
	memset(&tested, 0, sizeof(tested));
	memset(config, 0, sizeof(config));
	assert_int_equal(loop_create(&loop), 0);
	env.loop = loop;
	tested.base.id = env.id;
	return virtio_init(&tested, &class, &env, 0, config);
}

static int tear_down(void **state)
{
	virtio_finish(&tested);
	loop_destroy(loop);
	return 0;
}

/* Each word says which change it is of. */
static void change(void)
{
	pthread_mutex_lock(&tested.base.lock);
	for (unsigned i = 0; i < WORDS; i++)
		config[i]++;
	virtio_config_changed_silently(&tested);
	pthread_mutex_unlock(&tested.base.lock);
}

static uint32_t shown(unsigned offset)
{
	return __atomic_load_n((const uint32_t *)(const void *)(page + offset), __ATOMIC_ACQUIRE);
}

/* All that was ever shown at once, a word after the other. */
static struct moment {
	uint32_t generation, config[WORDS];
} moments[CHANGES * (WORDS + 8)];
static unsigned moment_count;
static bool recording;

void __real_registers_show(uint8_t *at, const void *bytes, size_t len);
void __wrap_registers_show(uint8_t *at, const void *bytes, size_t len);

void __wrap_registers_show(uint8_t *at, const void *bytes, size_t len)
{
	if (!recording) {
		__real_registers_show(at, bytes, len);
		return;
	}
	for (size_t i = 0; i < len; i += 4) {
		struct moment now;

		__real_registers_show(at + i, (const uint8_t *)bytes + i, 4);
		now.generation = shown(VIRTIO_MMIO_CONFIG_GENERATION);
		for (unsigned word = 0; word < WORDS; word++)
			now.config[word] = shown(VIRTIO_MMIO_CONFIG + 4 * word);
		if (moment_count && !memcmp(&now, &moments[moment_count - 1], sizeof(now)))
			continue;
		assert_true(moment_count < ARRAY_SIZE(moments));
		moments[moment_count++] = now;
	}
}

/*
 * A reader that finds the same generation twice has read what belongs to it, whenever it read each word; but for
 * the generation that is shown while the space changes, which is odd.
 */
static void each_generation_is_of_one_space(void **state)
{
	recording = true;
	moment_count = 0;
	for (unsigned i = 0; i < CHANGES; i++)
		change();
	recording = false;
	assert_true(moment_count > CHANGES * WORDS);
	for (unsigned i = 0; i < moment_count; i++) {
		const struct moment *now = &moments[i];

		for (unsigned word = 0; word < WORDS && now->generation % 2 == 0; word++)
			assert_int_equal(now->config[word], now->generation / 2);
		/* And it never comes again. */
		if (i)
			assert_in_range(now->generation - moments[i - 1].generation, 0, 1);
	}
}

/* The same with the driver on another processor. */
static struct race race;
static atomic_bool changing, torn;

static void read_on(struct race *unused)
{
	while (race_joins(&race)) {
		bool last;

		do {
			uint32_t before, after, words[WORDS];

			last = !atomic_load(&changing);
			before = shown(VIRTIO_MMIO_CONFIG_GENERATION);
			for (unsigned i = 0; i < WORDS; i++)
				words[i] = shown(VIRTIO_MMIO_CONFIG + 4 * i);
			after = shown(VIRTIO_MMIO_CONFIG_GENERATION);
			for (unsigned i = 0; i < WORDS && before == after && before % 2 == 0; i++)
				if (words[i] != before / 2)
					atomic_store(&torn, true);
		} while (!last);
		race_meet(&race, RACE_OTHER);
	}
}

static void a_driver_reads_while_the_space_changes(void **state)
{
	atomic_store(&torn, false);
	race_start(&race, read_on, 2000);
	for (;;) {
		atomic_store(&changing, true);
		if (!race_next(&race))
			break;
		for (unsigned i = 0; i < 8; i++)
			change();
		atomic_store(&changing, false);
		race_meet(&race, RACE_OWN);
	}
	assert_false(atomic_load(&torn));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(each_generation_is_of_one_space),
		T(a_driver_reads_while_the_space_changes),
	};

	return cmocka_run_group_tests_name("virtio-mmio-race", tests, NULL, NULL);
}
