/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PL011, the UART, after Arm DDI 0183 (r1p4: FIFOs of 16). Characters are sent without delay, as soon as the back end
 * takes them. When input stops, the receive timeout is over at once, so that a FIFO below its trigger level interrupts
 * too.
 *
 * Three deviations. First, a receive interrupt that was cleared (UARTICR) is raised again AGAIN_MS later while there is
 * input: a driver that empties the FIFO and then clears the interrupt would miss input that came in between, and a full
 * FIFO would then take no more. Not at once, since a driver may clear the interrupt first and empty the FIFO in a
 * thread, which does not run while interrupts come. Second, it sends even if it is not enabled: early consoles rely on
 * firmware having enabled it. Third, it takes input only once the guest unmasks a receive interrupt or polls UARTFR.
 * Earlier input stays in the back end, since Linux' driver empties the FIFO when it opens the port, and would discard
 * it.
 */
#include "devices/arm/pl011.h"

#include "devices/arm/primecell.h"
#include "devices/backend/chardev.h"
#include "devices/state.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"

enum {
	UARTDR = 0x000,
	UARTRSR = 0x004,
	UARTFR = 0x018,
	UARTILPR = 0x020,
	UARTIBRD = 0x024,
	UARTFBRD = 0x028,
	UARTLCR_H = 0x02c,
	UARTCR = 0x030,
	UARTIFLS = 0x034,
	UARTIMSC = 0x038,
	UARTRIS = 0x03c,
	UARTMIS = 0x040,
	UARTICR = 0x044,
	UARTDMACR = 0x048,
};

#define FR_CTS	0x001
#define FR_DSR	0x002
#define FR_DCD	0x004
#define FR_BUSY 0x008
#define FR_RXFE 0x010
#define FR_TXFF 0x020
#define FR_RXFF 0x040
#define FR_TXFE 0x080

#define DR_OE  0x800 /* in DR; in RSR the error bits are 8 lower */
#define RSR_OE 0x008

#define LCR_H_FEN 0x10

#define CR_UARTEN 0x001
#define CR_LBE	  0x080
#define CR_TXE	  0x100
#define CR_RXE	  0x200

#define INT_RX	0x010
#define INT_TX	0x020
#define INT_RT	0x040
#define INT_OE	0x400
#define INT_ALL PRIMECELL_INTERRUPTS

#define FIFO_DEPTH 16
/* Reads of an idle FR in a row after which the guest counts as polling for input. */
#define POLLED_READS 8
/* From UARTICR to the next receive interrupt for the same input. */
#define AGAIN_MS 2

struct fifo {
	uint16_t data[FIFO_DEPTH];
	uint32_t first, count;
};

struct pl011_state {
	uint32_t rsr, ilpr, ibrd, fbrd, lcr_h, cr, ifls, dmacr;
	struct fifo rx, tx;
	uint32_t idle_reads; /* of FR, in a row */
};

struct pl011 {
	struct primecell pl;
	struct chardev *chardev;
	struct chardev_client client;

	struct pl011_state state;
	struct loop *loop;
	struct loop_task cleared; /* posted by vCPUs, since only the loop arms timers */
	struct loop_timer again;
	bool rx_refused; /* the back end waits for resume() */
};

static struct pl011 *pl011_of(struct primecell *pl)
{
	return container_of(pl, struct pl011, pl);
}

static void fifo_push(struct fifo *fifo, uint16_t value)
{
	fifo->data[(fifo->first + fifo->count++) % FIFO_DEPTH] = value;
}

static uint16_t fifo_pop(struct fifo *fifo)
{
	uint16_t value = fifo->data[fifo->first];

	fifo->first = (fifo->first + 1) % FIFO_DEPTH;
	fifo->count--;
	return value;
}

static unsigned fifo_depth(const struct pl011 *uart)
{
	return uart->state.lcr_h & LCR_H_FEN ? FIFO_DEPTH : 1;
}

/* RXIFLSEL and TXIFLSEL: eighths of the FIFO (DDI 0183, table 3-13); reserved values act as 7/8. */
static unsigned trigger_level(unsigned select)
{
	static const uint8_t levels[8] = { 2, 4, 8, 12, 14, 14, 14, 14 };

	return levels[select & 7];
}

static unsigned rx_trigger(const struct pl011 *uart)
{
	return uart->state.lcr_h & LCR_H_FEN ? trigger_level(uart->state.ifls >> 3) : 1;
}

static unsigned tx_trigger(const struct pl011 *uart)
{
	return uart->state.lcr_h & LCR_H_FEN ? trigger_level(uart->state.ifls) : 0;
}

/* True while input may come in: enabled, not looped back, and the guest asks for it. */
static bool rx_open(const struct pl011 *uart)
{
	return (uart->state.cr & (CR_UARTEN | CR_RXE | CR_LBE)) == (CR_UARTEN | CR_RXE) &&
	       (uart->pl.state.imsc & (INT_RX | INT_RT) || uart->state.idle_reads >= POLLED_READS);
}

/*
 * Asks the back end for the input that was refused, but only below the trigger level: above it the interrupt makes the
 * guest read more, and one large refill costs less than many small ones.
 */
static void rx_resume(struct pl011 *uart)
{
	if (!uart->rx_refused || !rx_open(uart) || uart->state.rx.count >= rx_trigger(uart))
		return;
	uart->rx_refused = false;
	uart->chardev->ops->resume(uart->chardev);
}

/* Raises the interrupts for the input in the FIFO. */
static void rx_interrupt(struct pl011 *uart)
{
	if (uart->state.rx.count)
		uart->pl.state.ris |= INT_RT;
	if (uart->state.rx.count >= rx_trigger(uart))
		uart->pl.state.ris |= INT_RX;
}

/* A character arrives; there is room for it. */
static void rx_push(struct pl011 *uart, uint16_t value)
{
	fifo_push(&uart->state.rx, value);
	rx_interrupt(uart);
}

static size_t pl011_receive(struct chardev_client *client, const uint8_t *buf, size_t len)
{
	struct pl011 *uart = container_of(client, struct pl011, client);
	size_t taken = 0;

	pthread_mutex_lock(&uart->pl.device.lock);
	while (taken < len && rx_open(uart) && uart->state.rx.count < fifo_depth(uart))
		rx_push(uart, buf[taken++]);
	if (taken < len)
		uart->rx_refused = true;
	primecell_update(&uart->pl);
	pthread_mutex_unlock(&uart->pl.device.lock);
	return taken;
}

static void tx_loop_back(struct pl011 *uart)
{
	uint16_t value = fifo_pop(&uart->state.tx);

	if (uart->state.rx.count < fifo_depth(uart)) {
		rx_push(uart, value);
		return;
	}
	uart->state.rsr |= RSR_OE;
	uart->pl.state.ris |= INT_OE;
}

/* Sends what the back end takes. The interrupt means that sending lowered the FIFO to its trigger level. */
static void tx_send(struct pl011 *uart)
{
	bool sent = false;

	while (uart->state.tx.count) {
		uint8_t byte = uart->state.tx.data[uart->state.tx.first];

		if (uart->state.cr & CR_LBE) {
			tx_loop_back(uart);
		} else {
			if (uart->chardev && !uart->chardev->ops->write(uart->chardev, &byte, 1))
				break;
			fifo_pop(&uart->state.tx);
		}
		sent = true;
	}
	if (uart->state.tx.count > tx_trigger(uart))
		uart->pl.state.ris &= ~INT_TX;
	else if (sent)
		uart->pl.state.ris |= INT_TX;
}

static void pl011_writable(struct chardev_client *client)
{
	struct pl011 *uart = container_of(client, struct pl011, client);

	pthread_mutex_lock(&uart->pl.device.lock);
	tx_send(uart);
	primecell_update(&uart->pl);
	pthread_mutex_unlock(&uart->pl.device.lock);
}

static uint32_t dr_read(struct primecell *pl, uint64_t offset)
{
	struct pl011 *uart = pl011_of(pl);
	uint32_t value;

	if (!uart->state.rx.count)
		return 0;
	value = fifo_pop(&uart->state.rx);
	if (uart->state.rsr & RSR_OE)
		value |= DR_OE;
	uart->state.rsr = 0;
	if (uart->state.rx.count < rx_trigger(uart))
		pl->state.ris &= ~INT_RX;
	if (!uart->state.rx.count)
		pl->state.ris &= ~INT_RT;
	rx_resume(uart);
	return value;
}

static void dr_write(struct primecell *pl, uint64_t offset, uint32_t value)
{
	struct pl011 *uart = pl011_of(pl);

	uart->state.idle_reads = 0;
	if (uart->state.tx.count >= fifo_depth(uart))
		return; /* lost: TXFF was set */
	fifo_push(&uart->state.tx, value);
	tx_send(uart);
}

static uint32_t fr_read(struct primecell *pl, uint64_t offset)
{
	struct pl011 *uart = pl011_of(pl);
	unsigned depth = fifo_depth(uart);
	uint32_t fr = FR_CTS | FR_DSR | FR_DCD; /* the other end is always there */

	fr |= uart->state.tx.count ? FR_BUSY : FR_TXFE;
	fr |= uart->state.tx.count >= depth ? FR_TXFF : 0;
	fr |= uart->state.rx.count ? 0 : FR_RXFE;
	fr |= uart->state.rx.count >= depth ? FR_RXFF : 0;
	if (uart->state.tx.count || uart->state.rx.count)
		return fr;
	if (uart->state.idle_reads < POLLED_READS)
		uart->state.idle_reads++;
	rx_resume(uart);
	return fr;
}

static void ecr_write(struct primecell *pl, uint64_t offset, uint32_t value)
{
	pl011_of(pl)->state.rsr = 0;
}

/* A change of FEN does not clear the FIFOs. The trigger levels change with it. */
static void lcr_h_write(struct primecell *pl, uint64_t offset, uint32_t value)
{
	pl011_of(pl)->state.lcr_h = value;
	rx_interrupt(pl011_of(pl));
	rx_resume(pl011_of(pl));
}

static void ifls_write(struct primecell *pl, uint64_t offset, uint32_t value)
{
	pl011_of(pl)->state.ifls = value;
	rx_interrupt(pl011_of(pl));
	rx_resume(pl011_of(pl));
}

static void icr_write(struct primecell *pl, uint64_t offset, uint32_t value)
{
	struct pl011 *uart = pl011_of(pl);

	primecell_icr(pl, offset, value);
	if (value & (INT_RX | INT_RT) && uart->state.rx.count)
		loop_post(uart->loop, &uart->cleared);
}

static void cleared(struct loop_task *task)
{
	struct pl011 *uart = container_of(task, struct pl011, cleared);

	if (!uart->again.loop)
		loop_timer_arm(uart->loop, &uart->again, AGAIN_MS);
}

static void interrupt_again(struct loop_timer *timer)
{
	struct pl011 *uart = container_of(timer, struct pl011, again);

	pthread_mutex_lock(&uart->pl.device.lock);
	rx_interrupt(uart);
	primecell_update(&uart->pl);
	pthread_mutex_unlock(&uart->pl.device.lock);
}

static void cr_write(struct primecell *pl, uint64_t offset, uint32_t value)
{
	struct pl011 *uart = pl011_of(pl);

	uart->state.cr = value;
	uart->state.idle_reads = 0;
	rx_resume(uart);
}

static void imsc_write(struct primecell *pl, uint64_t offset, uint32_t value)
{
	pl->state.imsc = value;
	pl011_of(pl)->state.idle_reads = 0;
	rx_resume(pl011_of(pl));
}

#define FIELD(name) offsetof(struct pl011, name)

static const struct primecell_register pl011_registers[] = {
	{ UARTDR, .mask = 0xff, .read = dr_read, .write = dr_write },
	{ UARTRSR, FIELD(state.rsr), .mask = 0xff, .write = ecr_write },
	{ UARTFR, .read = fr_read },
	{ UARTILPR, FIELD(state.ilpr), .mask = 0xff },
	{ UARTIBRD, FIELD(state.ibrd), .mask = 0xffff },
	{ UARTFBRD, FIELD(state.fbrd), .mask = 0x3f },
	{ UARTLCR_H, FIELD(state.lcr_h), .mask = 0xff, .write = lcr_h_write },
	{ UARTCR, FIELD(state.cr), .mask = 0xff87, .write = cr_write },
	{ UARTIFLS, FIELD(state.ifls), .mask = 0x3f, .write = ifls_write },
	{ UARTIMSC, FIELD(pl.state.imsc), .mask = INT_ALL, .write = imsc_write },
	{ UARTRIS, FIELD(pl.state.ris) },
	{ UARTMIS, .read = primecell_mis },
	{ UARTICR, .mask = INT_ALL, .write = icr_write },
	{ UARTDMACR, FIELD(state.dmacr), .mask = 0x7 },
};

static const struct primecell_type pl011_type = {
	.registers = pl011_registers,
	.register_count = ARRAY_SIZE(pl011_registers),
	.periph_id = 0x00141011, /* revision 1: Linux takes 3 and above for FIFOs of 32 */
};

static void reset_locked(struct pl011 *uart)
{
	uart->state = (struct pl011_state){
		.cr = CR_TXE | CR_RXE, .ifls = 0x12, /* both half full */
	};
	primecell_reset(&uart->pl);
}

static void pl011_reset(struct device *device)
{
	struct pl011 *uart = container_of(device, struct pl011, pl.device);

	loop_timer_cancel(&uart->again);
	loop_task_cancel(uart->loop, &uart->cleared);
	pthread_mutex_lock(&device->lock);
	reset_locked(uart);
	pthread_mutex_unlock(&device->lock);
}

static void pl011_finish(struct device *device)
{
	struct pl011 *uart = container_of(device, struct pl011, pl.device);

	loop_timer_cancel(&uart->again);
	loop_task_cancel(uart->loop, &uart->cleared);
	if (uart->chardev)
		uart->chardev->client = NULL;
}

static int pl011_init(struct device *device, const void *config, const struct device_env *env)
{
	struct pl011 *uart = container_of(device, struct pl011, pl.device);

	primecell_init(&uart->pl, &pl011_type, env);
	uart->chardev = env->chardev;
	uart->loop = env->loop;
	uart->cleared = (struct loop_task){ .run = cleared, .name = env->id };
	uart->again = (struct loop_timer){ .fired = interrupt_again, .name = env->id };
	uart->client = (struct chardev_client){ .receive = pl011_receive,
		.writable = pl011_writable };
	reset_locked(uart);
	if (uart->chardev) {
		uart->chardev->client = &uart->client;
		uart->chardev->ops->resume(uart->chardev);
	}
	return 0;
}

/* ---- Its state ---- */

/* After a restore the back end is new: sends the FIFO's contents, and asks for input. */
static void put_state(struct device *device)
{
	struct pl011 *uart = container_of(device, struct pl011, pl.device);

	tx_send(uart);
	rx_resume(uart);
	if (uart->state.rx.count)
		loop_post(uart->loop, &uart->cleared); /* an interrupt that was to come again */
}

#define STATE(member) STATE_ONE(struct pl011, state.member)
#define FIFO(member)  STATE_ARRAY(struct pl011, state.member.data)

static const struct state_field state_fields[] = {
	{ "rsr", STATE(rsr), .max = 0xff },
	{ "ilpr", STATE(ilpr), .max = 0xff },
	{ "ibrd", STATE(ibrd), .max = 0xffff },
	{ "fbrd", STATE(fbrd), .max = 0x3f },
	{ "lcr-h", STATE(lcr_h), .max = 0xff },
	{ "cr", STATE(cr), .max = 0xff87 },
	{ "ifls", STATE(ifls), .max = 0x3f },
	{ "dmacr", STATE(dmacr), .max = 0x7 },
	{ "rx-data", FIFO(rx) },
	{ "rx-first", STATE(rx.first), .max = FIFO_DEPTH - 1 },
	{ "rx-count", STATE(rx.count), .max = FIFO_DEPTH },
	{ "tx-data", FIFO(tx) },
	{ "tx-first", STATE(tx.first), .max = FIFO_DEPTH - 1 },
	{ "tx-count", STATE(tx.count), .max = FIFO_DEPTH },
	{ "idle-reads", STATE(idle_reads), .max = POLLED_READS },
	{ 0 },
};

static const struct state_part pl011_state = {
	STATE_PART(struct pl011, state),
	.fields = state_fields,
	.put = put_state,
};

const struct device_class pl011_class = {
	.compatible = "arm,pl011",
	.bytes = sizeof(struct pl011),
	.kind = DEVICE_PLATFORM,
	.init = pl011_init,
	.reset = pl011_reset,
	.state = { &pl011_state, &primecell_state },
	.finish = pl011_finish,
};
