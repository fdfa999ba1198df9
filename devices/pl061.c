/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PL061, eight lines of GPIO, after Arm DDI 0190. What stands on the lines from outside is `in`:
 * buttons, pressed through pl061_pulse(). Interrupts come from lines that are inputs: edges are
 * remembered in `edges` until GPIOIC, levels hold for as long as they stand.
 */
#include "devices/pl061.h"

#include <errno.h>

#include "devices/primecell.h"
#include "hyp/loop.h"
#include "hyp/util.h"

enum {
	GPIODATA = 0x000, /* to 0x3fc: address bits 9 to 2 select the lines */
	GPIODIR = 0x400,
	GPIOIS = 0x404,
	GPIOIBE = 0x408,
	GPIOIEV = 0x40c,
	GPIOIE = 0x410,
	GPIORIS = 0x414,
	GPIOMIS = 0x418,
	GPIOIC = 0x41c,
	GPIOAFSEL = 0x420,
};

struct pl061;

struct button {
	struct loop_timer timer; /* armed while the line is high, and as long again */
	unsigned presses;	 /* that wait */
	unsigned held;		 /* pulses that the line has been high for */
	struct pl061 *gpio;
	unsigned line;
};

struct pl061 {
	struct primecell pl; /* imsc is GPIOIE */
	struct loop *loop;

	uint32_t in, out, seen; /* seen: the lines when edges were last looked for */
	uint32_t dir, is, ibe, iev, afsel;
	uint32_t edges;
	uint32_t unread; /* lines whose rise interrupted the guest, until it looks */
	struct button buttons[PL061_LINES]; /* the loop's thread only */
};

static struct pl061 *pl061_of(struct primecell *pl)
{
	return container_of(pl, struct pl061, pl);
}

static uint32_t lines(const struct pl061 *gpio)
{
	return (gpio->out & gpio->dir) | (gpio->in & ~gpio->dir);
}

static void pl061_settle(struct primecell *pl)
{
	struct pl061 *gpio = pl061_of(pl);
	uint32_t now = lines(gpio), changed = now ^ gpio->seen;

	/* A change is an edge that counts if both do, or if it went where IEV says. */
	gpio->edges |= changed & ~gpio->dir & ~gpio->is & (gpio->ibe | ~(now ^ gpio->iev));
	gpio->seen = now;
	pl->ris = (gpio->edges & ~gpio->is) | (gpio->is & ~gpio->dir & ~(now ^ gpio->iev));
	pl->ris &= 0xff;
}

static uint32_t data_read(struct primecell *pl, uint64_t offset)
{
	pl061_of(pl)->unread &= ~(uint32_t)(offset >> 2);
	return lines(pl061_of(pl)) & offset >> 2;
}

static void data_write(struct primecell *pl, uint64_t offset, uint32_t value)
{
	struct pl061 *gpio = pl061_of(pl);
	uint32_t mask = offset >> 2 & gpio->dir;

	gpio->out = (gpio->out & ~mask) | (value & mask);
}

static void ic_write(struct primecell *pl, uint64_t offset, uint32_t value)
{
	pl061_of(pl)->edges &= ~value;
}

#define REGISTER(register, name)                                                                   \
	{                                                                                          \
		register, offsetof(struct pl061, name), .mask = 0xff                               \
	}

static const struct primecell_register pl061_registers[] = {
	{ GPIODATA, .last = 0x3fc, .mask = 0xff, .read = data_read, .write = data_write },
	REGISTER(GPIODIR, dir),
	REGISTER(GPIOIS, is),
	REGISTER(GPIOIBE, ibe),
	REGISTER(GPIOIEV, iev),
	REGISTER(GPIOIE, pl.imsc),
	{ GPIORIS, offsetof(struct pl061, pl.ris) },
	{ GPIOMIS, .read = primecell_mis },
	{ GPIOIC, .mask = 0xff, .write = ic_write },
	REGISTER(GPIOAFSEL, afsel),
};

static const struct primecell_type pl061_type = {
	.registers = pl061_registers,
	.register_count = ARRAY_SIZE(pl061_registers),
	.periph_id = 0x00041061,
	.settle = pl061_settle,
};

static void set_line(struct pl061 *gpio, unsigned line, bool high)
{
	pthread_mutex_lock(&gpio->pl.device.lock);
	gpio->in = (gpio->in & ~(1u << line)) | (uint32_t)high << line;
	primecell_update(&gpio->pl);
	if (high)
		gpio->unread |= gpio->pl.ris & gpio->pl.imsc & 1u << line;
	else
		gpio->unread &= ~(1u << line);
	pthread_mutex_unlock(&gpio->pl.device.lock);
}

static void press(struct button *button)
{
	button->presses--;
	button->held = 0;
	set_line(button->gpio, button->line, true);
	loop_timer_arm(button->gpio->loop, &button->timer, PL061_PULSE_MS);
}

/* A guest that was interrupted looks some time after it, and is to find the line high then. */
static bool is_awaited(struct button *button)
{
	struct pl061 *gpio = button->gpio;
	bool unread;

	pthread_mutex_lock(&gpio->pl.device.lock);
	unread = gpio->unread & 1u << button->line;
	pthread_mutex_unlock(&gpio->pl.device.lock);
	return unread && ++button->held < PL061_PULSES_MAX;
}

static void button_fired(struct loop_timer *timer)
{
	struct button *button = container_of(timer, struct button, timer);

	if (is_awaited(button)) {
		loop_timer_arm(button->gpio->loop, timer, PL061_PULSE_MS);
	} else if (button->gpio->in & 1u << button->line) {
		set_line(button->gpio, button->line, false);
		loop_timer_arm(button->gpio->loop, timer, PL061_PULSE_MS);
	} else if (button->presses) {
		press(button);
	}
}

void pl061_pulse(struct device *device, unsigned line)
{
	struct pl061 *gpio = container_of(device, struct pl061, pl.device);

	CHECK(line < PL061_LINES);
	gpio->buttons[line].presses++;
	if (!gpio->buttons[line].timer.loop)
		press(&gpio->buttons[line]);
}

static void pl061_reset(struct device *device)
{
	struct pl061 *gpio = container_of(device, struct pl061, pl.device);

	for (unsigned line = 0; line < PL061_LINES; line++) {
		loop_timer_cancel(&gpio->buttons[line].timer);
		gpio->buttons[line].presses = 0;
	}
	pthread_mutex_lock(&device->lock);
	gpio->in = gpio->out = gpio->seen = gpio->edges = gpio->unread = 0;
	gpio->dir = gpio->is = gpio->ibe = gpio->iev = gpio->afsel = 0;
	primecell_reset(&gpio->pl);
	pthread_mutex_unlock(&device->lock);
}

static void pl061_destroy(struct device *device)
{
	struct pl061 *gpio;

	if (!device)
		return;
	gpio = container_of(device, struct pl061, pl.device);
	for (unsigned line = 0; line < PL061_LINES; line++)
		loop_timer_cancel(&gpio->buttons[line].timer);
	primecell_finish(&gpio->pl);
	free(gpio);
}

static int pl061_create(const void *config, const struct device_env *env, struct device **ret)
{
	struct pl061 *gpio = calloc(1, sizeof(*gpio));

	if (!gpio)
		return -ENOMEM;
	primecell_init(&gpio->pl, &pl061_class, &pl061_type, env);
	gpio->loop = env->loop;
	for (unsigned line = 0; line < PL061_LINES; line++)
		gpio->buttons[line] = (struct button){
			.timer.fired = button_fired,
			.gpio = gpio,
			.line = line,
		};
	pl061_reset(&gpio->pl.device);
	*ret = &gpio->pl.device;
	return 0;
}

const struct device_class pl061_class = {
	.compatible = "arm,pl061",
	.kind = DEVICE_PLATFORM,
	.create = pl061_create,
	.reset = pl061_reset,
	.destroy = pl061_destroy,
};
