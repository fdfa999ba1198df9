/* SPDX-License-Identifier: Apache-2.0 */
/* The UART, driven as Linux' amba-pl011 and U-Boot's pl01x drive it. */
#include "tests/unit/helpers/pl0xx.h"

#include "devices/arm/pl011.h"
#include "devices/backend/chardev.h"
#include "tests/unit/helpers/fake-loop.h"

enum {
	DR = 0,
	RSR = 4,
	FR = 0x18,
	ILPR = 0x20,
	IBRD = 0x24,
	FBRD = 0x28,
	LCR_H = 0x2c,
	CR = 0x30,
	IFLS = 0x34,
	IMSC = 0x38,
	RIS = 0x3c,
	MIS = 0x40,
	ICR = 0x44,
	DMACR = 0x48
};

#define TXFE 0x80
#define RXFF 0x40
#define TXFF 0x20
#define RXFE 0x10
#define BUSY 0x08

#define INT_RX 0x10
#define INT_TX 0x20
#define INT_RT 0x40
#define INT_OE 0x400

/* A back end with room for `room` bytes. */
static struct {
	struct chardev chardev;
	char out[256];
	size_t out_len, room;
	unsigned resumed;
} back;

static size_t back_write(struct chardev *chardev, const uint8_t *buf, size_t len)
{
	size_t n = len < back.room ? len : back.room;

	memcpy(back.out + back.out_len, buf, n);
	back.out_len += n;
	back.room -= n;
	return n;
}

static void back_resume(struct chardev *chardev)
{
	back.resumed++;
}

static const struct chardev_ops back_ops = { .write = back_write, .resume = back_resume };
static struct bench b;

static int setup(void **state)
{
	memset(&back, 0, sizeof(back));
	back.chardev.ops = &back_ops;
	back.room = sizeof(back.out);
	bench_start(&b, &pl011_class, &back.chardev);
	return 0;
}

static int teardown(void **state)
{
	bench_end(&b);
	assert_null(back.chardev.client);
	assert_int_equal(fake_loop_timers(), 0);
	assert_int_equal(fake_loop_run_tasks(), 0);
	return 0;
}

static size_t type(const char *text)
{
	struct chardev_client *client = back.chardev.client;

	return client->receive(client, (const uint8_t *)text, strlen(text));
}

/* As pl011_startup() leaves it. */
static void open_port(uint32_t imsc)
{
	put(&b, ICR, 0x7f0);
	put(&b, IFLS, 2 << 3 | 2);
	put(&b, CR, 0x301);
	put(&b, LCR_H, 0x70);
	put(&b, ICR, INT_RT | INT_RX);
	for (int i = 0; i < 32 && !(get(&b, FR) & RXFE); i++)
		get(&b, DR);
	put(&b, IMSC, imsc);
}

static void reset_values(void **state)
{
	check_ids(&b, 0x00141011);
	assert_int_equal(get(&b, FR) & 0xf8, TXFE | RXFE);
	assert_int_equal(get(&b, CR), 0x300);
	assert_int_equal(get(&b, IFLS), 0x12);
	assert_int_equal(get(&b, IMSC), 0);
	assert_int_equal(get(&b, RIS), 0);
	assert_false(b.level);
	assert_int_equal(back.resumed, 1);
}

static void registers_keep_their_bits(void **state)
{
	static const struct {
		unsigned offset, mask;
	} regs[] = { { ILPR, 0xff }, { IBRD, 0xffff }, { FBRD, 0x3f }, { LCR_H, 0xff },
		{ CR, 0xff87 }, { IFLS, 0x3f }, { IMSC, 0x7ff }, { DMACR, 7 } };

	for (size_t i = 0; i < ARRAY_SIZE(regs); i++) {
		put(&b, regs[i].offset, UINT32_MAX);
		assert_int_equal(get(&b, regs[i].offset), regs[i].mask);
		put(&b, regs[i].offset, 0);
		assert_int_equal(get(&b, regs[i].offset), 0);
	}
	put(&b, RIS, 0x7ff);
	put(&b, MIS, 0x7ff);
	assert_int_equal(get(&b, RIS), 0);
}

/* earlycon: nothing enabled, bytes or words. */
static void earlycon(void **state)
{
	put_sized(&b, DR, 1, 'a');
	put_sized(&b, DR, 2, 'b');
	put_sized(&b, DR, 4, 'c');
	put_sized(&b, DR, 8, 'd');
	put_sized(&b, DR + 1, 1, 'e');
	assert_int_equal(back.out_len, 3);
	assert_memory_equal(back.out, "abc", 3);
	assert_int_equal(get(&b, FR) & (BUSY | TXFF | TXFE), TXFE);
}

static void tx_interrupt(void **state)
{
	open_port(0);
	put(&b, DR, 'x');
	assert_int_equal(get(&b, RIS), INT_TX);
	assert_int_equal(get(&b, MIS), 0);
	assert_false(b.level);
	put(&b, IMSC, INT_TX);
	assert_true(b.level);
	assert_int_equal(get(&b, MIS), INT_TX);
	put(&b, ICR, INT_TX);
	assert_false(b.level);
	put(&b, DR, 'y');
	assert_true(b.level);
	put(&b, IMSC, 0);
	assert_false(b.level);
}

static void tx_back_pressure(void **state)
{
	open_port(0);
	back.room = 0;
	put(&b, ICR, 0x7ff);
	put(&b, IMSC, INT_TX);
	for (int i = 0; i < 16; i++) {
		assert_int_equal(get(&b, FR) & TXFF, 0);
		put(&b, DR, 'A' + i);
	}
	assert_int_equal(get(&b, FR) & (TXFF | BUSY | TXFE), TXFF | BUSY);
	put(&b, DR, '!'); /* lost, as on the wire */
	assert_false(b.level);

	back.room = 7; /* nine stay: above the trigger of eight */
	back.chardev.client->writable(back.chardev.client);
	assert_int_equal(get(&b, FR) & (TXFF | BUSY | TXFE), BUSY);
	assert_false(b.level);
	back.room = 1;
	back.chardev.client->writable(back.chardev.client);
	assert_true(b.level);
	put(&b, DR, 'Q'); /* above it again */
	assert_false(b.level);
	back.room = 100;
	back.chardev.client->writable(back.chardev.client);
	assert_true(b.level);
	assert_int_equal(get(&b, FR) & (TXFF | BUSY | TXFE), TXFE);
	assert_int_equal(back.out_len, 17);
	assert_memory_equal(back.out, "ABCDEFGHIJKLMNOPQ", 17);
}

static void tx_without_fifo(void **state)
{
	open_port(INT_TX);
	put(&b, LCR_H, 0x60);
	put(&b, ICR, 0x7ff);
	back.room = 0;
	put(&b, DR, 'a');
	assert_true(get(&b, FR) & TXFF);
	put(&b, DR, 'b');
	back.room = 9;
	assert_false(b.level);
	assert_int_equal(get(&b, RIS) & INT_TX, 0);
	back.chardev.client->writable(back.chardev.client);
	assert_true(b.level);
	assert_int_equal(back.out_len, 1);
	/* One that waits is above the trigger, whatever went before. */
	put(&b, DR, 'c');
	assert_true(b.level);
	back.room = 0;
	put(&b, DR, 'd');
	assert_false(b.level);
}

static void rx_timeout(void **state)
{
	open_port(INT_RT | INT_RX);
	assert_int_equal(type("hi"), 2);
	assert_int_equal(get(&b, MIS), INT_RT);
	assert_true(b.level);
	assert_int_equal(get(&b, DR), 'h');
	assert_true(b.level);
	assert_int_equal(get_sized(&b, DR, 1), 'i');
	assert_false(b.level);
	assert_int_equal(get(&b, RIS), 0);
	assert_true(get(&b, FR) & RXFE);
	assert_int_equal(get(&b, DR), 0);
}

static void rx_trigger(void **state)
{
	open_port(INT_RX); /* trigger at 8 */
	assert_int_equal(type("1234567"), 7);
	assert_false(b.level);
	assert_int_equal(type("8"), 1);
	assert_true(b.level);
	assert_int_equal(get(&b, DR), '1');
	assert_false(b.level);
	assert_int_equal(get(&b, RIS), INT_RT);
}

static void rx_trigger_levels(void **state)
{
	static const unsigned levels[] = { 2, 4, 8, 12, 14, 14, 14, 14 }; /* three are reserved */

	open_port(INT_RX);
	for (unsigned i = 0; i < ARRAY_SIZE(levels); i++) {
		put(&b, IFLS, i << 3);
		for (unsigned n = 1; n <= levels[i]; n++) {
			assert_int_equal(type("x"), 1);
			assert_int_equal(b.level, n == levels[i]);
		}
		while (!(get(&b, FR) & RXFE))
			get(&b, DR);
	}
}

static void rx_cleared_by_icr(void **state)
{
	open_port(INT_RT | INT_RX);
	type("12345678");
	assert_int_equal(get(&b, MIS), INT_RT | INT_RX);
	put(&b, ICR, INT_RX);
	assert_int_equal(get(&b, MIS), INT_RT);
	put(&b, ICR, INT_RT);
	assert_false(b.level);
	type("9");
	assert_int_equal(get(&b, MIS), INT_RT | INT_RX);
}

/*
 * DDI 0183G, 2.8: UARTRTINTR signals input that nobody reads. A driver that empties the FIFO and clears the
 * interrupt is then interrupted for what came in between, in a moment, and once.
 */
static void ddi0183_2_8_cleared_after_a_drain(void **state)
{
	open_port(INT_RT | INT_RX);
	type("a");
	assert_int_equal(get(&b, DR), 'a');
	type("b");
	put(&b, ICR, INT_RT | INT_RX);
	assert_false(b.level);
	bench_run(&b, 1);
	assert_false(b.level); /* a thread of the guest's may be about to read it */
	bench_run(&b, 2);
	assert_int_equal(get(&b, MIS), INT_RT);
	assert_int_equal(get(&b, DR), 'b');
	assert_false(b.level);
	bench_run(&b, 10);
	assert_int_equal(get(&b, RIS), 0);
	/* Read meanwhile: there is nothing to signal. */
	type("c");
	put(&b, ICR, INT_RT);
	bench_run(&b, 1);
	assert_int_equal(get(&b, DR), 'c');
	bench_run(&b, 10);
	assert_int_equal(get(&b, RIS), 0);
	/* Cleared again and again: each time in a moment. */
	type("d");
	for (int i = 0; i < 3; i++) {
		put(&b, ICR, INT_RT);
		assert_false(b.level);
		bench_run(&b, 3);
		assert_true(b.level);
	}
	/* With neither of them cleared nothing is due. */
	put(&b, ICR, INT_TX | INT_OE);
	assert_int_equal(fake_loop_run_tasks(), 0);
}

/* 2.8: into a full FIFO nothing comes that could interrupt. */
static void ddi0183_2_8_a_full_fifo_cleared(void **state)
{
	static const uint32_t unmasked[] = { INT_RT, INT_RX };

	for (unsigned i = 0; i < ARRAY_SIZE(unmasked); i++) {
		open_port(unmasked[i]);
		back.resumed = 0;
		assert_int_equal(type("0123456789abcdefXYZ"), 16);
		put(&b, ICR, INT_RX | INT_RT);
		assert_int_equal(type("XYZ"), 0);
		assert_false(b.level);
		bench_run(&b, 3);
		assert_true(b.level);
		while (!(get(&b, FR) & RXFE))
			get(&b, DR);
		assert_int_equal(back.resumed, 1);
		assert_int_equal(type("XYZ"), 3);
	}
	/* Nor into a FIFO of one. */
	open_port(INT_RX);
	put(&b, LCR_H, 0x60);
	while (!(get(&b, FR) & RXFE))
		get(&b, DR);
	assert_int_equal(type("ab"), 1);
	put(&b, ICR, INT_RX);
	bench_run(&b, 3);
	assert_true(b.level);
}

/* 3.3.9, 3.3.7: a trigger level that comes to lie at what the FIFO holds, or below, is reached. */
static void ddi0183_3_3_9_the_level_falls(void **state)
{
	open_port(INT_RX);
	type("12345");
	assert_false(b.level);
	put(&b, IFLS, 1 << 3); /* 4 */
	assert_true(b.level);
	put(&b, ICR, INT_RX);
	type("6");
	assert_true(b.level);
	put(&b, IFLS, 2 << 3);
	put(&b, ICR, INT_RX);
	assert_false(b.level);
	put(&b, LCR_H, 0x60); /* one of one */
	assert_true(b.level);
}

/* What was due is not the next guest's. */
static void cleared_before_a_reset(void **state)
{
	open_port(INT_RT);
	type("a");
	put(&b, ICR, INT_RT);
	bench_run(&b, 1);
	put(&b, ICR, INT_RT);
	b.device->class->reset(b.device);
	assert_int_equal(fake_loop_timers(), 0);
	assert_int_equal(fake_loop_run_tasks(), 0);
	type("b");
	put(&b, ICR, INT_RT);
}

static void rx_refuses_and_resumes(void **state)
{
	open_port(INT_RT | INT_RX);
	back.resumed = 0;
	assert_int_equal(type("0123456789abcdefXYZ"), 16);
	assert_true(get(&b, FR) & RXFF);
	assert_int_equal(back.resumed, 0);
	/* Asked for below the trigger of eight, not at it. */
	for (int i = 0; i < 16; i++) {
		assert_int_equal(back.resumed, i > 8);
		assert_int_equal(get(&b, DR), "0123456789abcdef"[i]);
	}
	assert_int_equal(back.resumed, 1);
	assert_int_equal(type("XYZ"), 3);
	for (int i = 0; i < 3; i++)
		get(&b, DR);
	assert_int_equal(back.resumed, 1);
}

static void rx_without_fifo(void **state)
{
	open_port(INT_RX);
	put(&b, LCR_H, 0x60);
	assert_int_equal(type("ab"), 1);
	assert_true(get(&b, FR) & RXFF);
	assert_int_equal(get(&b, MIS), INT_RX);
	assert_int_equal(get(&b, DR), 'a');
	assert_false(b.level);
}

/* What waits in a pipe while Linux boots must be there when it opens the port. */
static void rx_waits_for_the_driver(void **state)
{
	assert_int_equal(type("early"), 0);
	put(&b, CR, 0x301); /* the console prints, but nobody listens */
	for (int i = 0; i < 100; i++) {
		get(&b, FR);
		put(&b, DR, '.');
		get(&b, FR);
	}
	assert_int_equal(type("early"), 0);
	back.resumed = 0;
	open_port(INT_RT | INT_RX);
	assert_int_equal(back.resumed, 1);
	assert_int_equal(type("early"), 5);
	assert_int_equal(get(&b, DR), 'e');
	put(&b, IMSC, 0);
	assert_int_equal(type("more"), 0);
}

/* U-Boot and bare-metal guests poll FR without any interrupt. */
static void rx_by_polling(void **state)
{
	put(&b, CR, 0x301);
	assert_int_equal(type("k"), 0);
	back.resumed = 0;
	for (int i = 0; i < 50 && !back.resumed; i++)
		get(&b, FR);
	assert_int_equal(back.resumed, 1);
	assert_int_equal(type("k"), 1);
	assert_int_equal(get(&b, FR) & RXFE, 0);
	assert_int_equal(get(&b, DR), 'k');
	assert_false(b.level);
}

/* Eight reads in a row of an idle FR are polling for input, and none of these is one of them. */
static void polling_is_counted(void **state)
{
	static const struct {
		uint64_t offset;
		uint32_t value;
	} ends[] = { { CR, 0x301 }, { IMSC, 0 }, { DR, '.' } };

	put(&b, CR, 0x301);
	assert_int_equal(type("k"), 0);
	back.resumed = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(ends); i++) {
		for (int n = 0; n < 7; n++)
			get(&b, FR);
		assert_int_equal(back.resumed, 0);
		put(&b, ends[i].offset, ends[i].value);
	}
	for (int n = 0; n < 8; n++) {
		assert_int_equal(back.resumed, 0);
		get(&b, FR);
	}
	assert_int_equal(back.resumed, 1);
	/* Once it polls it does until it does something else. */
	for (unsigned i = 0; i < ARRAY_SIZE(ends); i++) {
		for (int n = 0; n < 9; n++)
			get(&b, FR);
		put(&b, ends[i].offset, ends[i].value);
		assert_int_equal(type("k"), 0);
	}
	/* A driver that waits for room to send does not poll. */
	back.room = 0;
	put(&b, DR, 'x');
	for (int n = 0; n < 20; n++)
		get(&b, FR);
	assert_int_equal(type("k"), 0);
}

/* With a FIFO again there is room for more than one, and so it is asked for. */
static void rx_with_a_fifo_again(void **state)
{
	open_port(INT_RX);
	put(&b, LCR_H, 0x60);
	assert_int_equal(type("ab"), 1);
	back.resumed = 0;
	put(&b, LCR_H, 0x70);
	assert_int_equal(back.resumed, 1);
	assert_int_equal(type("b"), 1);
	assert_int_equal(get(&b, DR), 'a');
	assert_int_equal(get(&b, DR), 'b');
}

/* What is only read keeps what it says, whatever is written to it. */
static void what_is_only_read(void **state)
{
	open_port(INT_TX);
	put(&b, DR, 'x');
	put(&b, RIS, 0);
	put(&b, MIS, 0);
	put(&b, FR, 0);
	assert_int_equal(get(&b, RIS), INT_TX);
	assert_true(b.level);
}

static void rx_disabled(void **state)
{
	open_port(INT_RT | INT_RX);
	put(&b, CR, 0x101);
	assert_int_equal(type("a"), 0);
	put(&b, CR, 0x300);
	assert_int_equal(type("a"), 0);
	back.resumed = 0;
	put(&b, CR, 0x301);
	assert_int_equal(back.resumed, 1);
}

static void loop_back(void **state)
{
	open_port(INT_OE);
	put(&b, CR, 0x381);
	for (int i = 0; i < 16; i++)
		put(&b, DR, 'a' + i);
	assert_false(b.level);
	put(&b, DR, '!');
	assert_int_equal(get(&b, MIS), INT_OE);
	assert_true(b.level);
	assert_int_equal(get(&b, RSR), 8);
	assert_int_equal(get(&b, DR), 'a' | 0x800);
	assert_int_equal(get(&b, RSR), 0);
	put(&b, DR, '!');
	put(&b, DR, '!');
	assert_int_equal(get(&b, RSR), 8);
	put(&b, RSR, 0);
	assert_int_equal(get(&b, RSR), 0);
	put(&b, ICR, INT_OE);
	assert_false(b.level);
	assert_int_equal(get(&b, DR), 'b');
	assert_int_equal(back.out_len, 0);
}

/* What comes from outside waits until the guest has tried its UART, and then is asked for. */
static void loop_back_is_alone(void **state)
{
	open_port(INT_RT | INT_RX);
	put(&b, CR, 0x381);
	assert_int_equal(type("x"), 0);
	put(&b, DR, 'a');
	assert_int_equal(get(&b, DR), 'a');
	assert_true(get(&b, FR) & RXFE);
	back.resumed = 0;
	put(&b, CR, 0x301);
	assert_int_equal(back.resumed, 1);
	assert_int_equal(type("x"), 1);
	assert_int_equal(get(&b, DR), 'x');
}

static void reset_while_busy(void **state)
{
	static const unsigned cleared[] = { ILPR, IBRD, FBRD, LCR_H, DMACR };

	open_port(0x7ff);
	type("in");
	back.room = 0;
	put(&b, DR, 'o');
	assert_true(b.level);
	for (unsigned i = 0; i < ARRAY_SIZE(cleared); i++)
		put(&b, cleared[i], 7);
	b.device->class->reset(b.device);
	for (unsigned i = 0; i < ARRAY_SIZE(cleared); i++)
		assert_int_equal(get(&b, cleared[i]), 0);
	assert_false(b.level);
	back.room = 9;
	back.chardev.client->writable(back.chardev.client);
	assert_int_equal(back.out_len, 0);
	reset_values(state);
	open_port(INT_TX);
	put(&b, DR, 'x');
	assert_true(b.level);
}

static void every_offset(void **state)
{
	check_every_offset(&b);
	check_ids(&b, 0x00141011);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(reset_values),
		T(registers_keep_their_bits),
		T(earlycon),
		T(tx_interrupt),
		T(tx_back_pressure),
		T(tx_without_fifo),
		T(rx_timeout),
		T(rx_trigger),
		T(rx_trigger_levels),
		T(rx_cleared_by_icr),
		T(ddi0183_2_8_cleared_after_a_drain),
		T(ddi0183_2_8_a_full_fifo_cleared),
		T(ddi0183_3_3_9_the_level_falls),
		T(cleared_before_a_reset),
		T(rx_refuses_and_resumes),
		T(rx_without_fifo),
		T(rx_waits_for_the_driver),
		T(rx_by_polling),
		T(polling_is_counted),
		T(rx_with_a_fifo_again),
		T(what_is_only_read),
		T(rx_disabled),
		T(loop_back),
		T(loop_back_is_alone),
		T(reset_while_busy),
		T(every_offset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
