/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PL061, eight lines of GPIO, after Arm DDI 0190. `in` is the level of each line from outside: buttons, pressed through
 * pl061_pulse(). Only inputs interrupt: an edge is recorded in `edges` until GPIOIC, a level interrupts while it lasts.
 */
#include "devices/arm/pl061.h"

#include "devices/arm/primecell.h"
#include "devices/state.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"

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
	struct loop_timer timer; /* armed while the line is high, and one pulse after */
	struct pl061 *gpio;
	unsigned line;
};

struct pl061_state {
	uint32_t in, out, seen; /* seen: the lines when edges were last checked */
	uint32_t dir, is, ibe, iev, afsel;
	uint32_t edges;
	uint32_t unread; /* lines whose rise interrupted the guest, until it reads */
	/* The buttons': the loop's thread only. */
	uint32_t presses[PL061_LINES]; /* presses that wait */
	uint32_t held[PL061_LINES];    /* pulses that the line has been high for */
};

struct pl061 {
	struct primecell pl; /* imsc is GPIOIE */
	struct loop *loop;
	struct pl061_state state;
	bool paused;			    /* the machine is; the loop's thread only */
	struct button buttons[PL061_LINES]; /* the loop's thread only */
};

static struct pl061 *pl061_of(struct primecell *pl)
{
	return container_of(pl, struct pl061, pl);
}

static uint32_t lines(const struct pl061 *gpio)
{
	return (gpio->state.out & gpio->state.dir) | (gpio->state.in & ~gpio->state.dir);
}

static void pl061_settle(struct primecell *pl)
{
	struct pl061 *gpio = pl061_of(pl);
	uint32_t now = lines(gpio), changed = now ^ gpio->state.seen;

	/* A change counts as an edge if IBE is set, or if the line now has IEV's level. */
	gpio->state.edges |= changed & ~gpio->state.dir & ~gpio->state.is &
			     (gpio->state.ibe | ~(now ^ gpio->state.iev));
	gpio->state.seen = now;
	pl->state.ris = (gpio->state.edges & ~gpio->state.is) |
			(gpio->state.is & ~gpio->state.dir & ~(now ^ gpio->state.iev));
	pl->state.ris &= 0xff;
}

static uint32_t data_read(struct primecell *pl, uint64_t offset)
{
	pl061_of(pl)->state.unread &= ~(uint32_t)(offset >> 2);
	return lines(pl061_of(pl)) & offset >> 2;
}

static void data_write(struct primecell *pl, uint64_t offset, uint32_t value)
{
	struct pl061 *gpio = pl061_of(pl);
	uint32_t mask = offset >> 2 & gpio->state.dir;

	gpio->state.out = (gpio->state.out & ~mask) | (value & mask);
}

static void ic_write(struct primecell *pl, uint64_t offset, uint32_t value)
{
	pl061_of(pl)->state.edges &= ~value;
}

#define REGISTER(register, name)                                                                   \
	{                                                                                          \
		register, offsetof(struct pl061, name), .mask = 0xff                               \
	}

static const struct primecell_register pl061_registers[] = {
	{ GPIODATA, .last = 0x3fc, .mask = 0xff, .read = data_read, .write = data_write },
	REGISTER(GPIODIR, state.dir),
	REGISTER(GPIOIS, state.is),
	REGISTER(GPIOIBE, state.ibe),
	REGISTER(GPIOIEV, state.iev),
	REGISTER(GPIOIE, pl.state.imsc),
	{ GPIORIS, offsetof(struct pl061, pl.state.ris) },
	{ GPIOMIS, .read = primecell_mis },
	{ GPIOIC, .mask = 0xff, .write = ic_write },
	REGISTER(GPIOAFSEL, state.afsel),
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
	gpio->state.in = (gpio->state.in & ~(1u << line)) | (uint32_t)high << line;
	primecell_update(&gpio->pl);
	if (high)
		gpio->state.unread |= gpio->pl.state.ris & gpio->pl.state.imsc & 1u << line;
	else
		gpio->state.unread &= ~(1u << line);
	pthread_mutex_unlock(&gpio->pl.device.lock);
}

static void press(struct button *button)
{
	button->gpio->state.presses[button->line]--;
	button->gpio->state.held[button->line] = 0;
	set_line(button->gpio, button->line, true);
	loop_timer_arm(button->gpio->loop, &button->timer, PL061_PULSE_MS);
}

/* Whether the line must stay high: its rise interrupted the guest, which has not read it yet. */
static bool is_awaited(struct button *button)
{
	struct pl061 *gpio = button->gpio;
	bool unread;

	pthread_mutex_lock(&gpio->pl.device.lock);
	unread = gpio->state.unread & 1u << button->line;
	pthread_mutex_unlock(&gpio->pl.device.lock);
	return unread && ++gpio->state.held[button->line] < PL061_PULSES_MAX;
}

static void button_fired(struct loop_timer *timer)
{
	struct button *button = container_of(timer, struct button, timer);

	/* In a pause the guest cannot read the line, which stays as it is. */
	if (button->gpio->paused || is_awaited(button)) {
		loop_timer_arm(button->gpio->loop, timer, PL061_PULSE_MS);
	} else if (button->gpio->state.in & 1u << button->line) {
		set_line(button->gpio, button->line, false);
		loop_timer_arm(button->gpio->loop, timer, PL061_PULSE_MS);
	} else if (button->gpio->state.presses[button->line]) {
		press(button);
	}
}

void pl061_pulse(struct device *device, unsigned line)
{
	struct pl061 *gpio = container_of(device, struct pl061, pl.device);

	CHECK(line < PL061_LINES);
	gpio->state.presses[line]++;
	if (!gpio->buttons[line].timer.loop)
		press(&gpio->buttons[line]);
}

static void pl061_pause(struct device *device, bool paused)
{
	container_of(device, struct pl061, pl.device)->paused = paused;
}

static void pl061_reset(struct device *device)
{
	struct pl061 *gpio = container_of(device, struct pl061, pl.device);

	for (unsigned line = 0; line < PL061_LINES; line++)
		loop_timer_cancel(&gpio->buttons[line].timer);
	pthread_mutex_lock(&device->lock);
	gpio->state = (struct pl061_state){ 0 };
	gpio->paused = false;
	primecell_reset(&gpio->pl);
	pthread_mutex_unlock(&device->lock);
}

static void pl061_finish(struct device *device)
{
	struct pl061 *gpio = container_of(device, struct pl061, pl.device);

	for (unsigned line = 0; line < PL061_LINES; line++)
		loop_timer_cancel(&gpio->buttons[line].timer);
}

static int pl061_init(struct device *device, const void *config, const struct device_env *env)
{
	struct pl061 *gpio = container_of(device, struct pl061, pl.device);

	primecell_init(&gpio->pl, &pl061_type, env);
	gpio->loop = env->loop;
	for (unsigned line = 0; line < PL061_LINES; line++)
		gpio->buttons[line] = (struct button){
			.timer = { .fired = button_fired, .name = "gpio" },
			.gpio = gpio,
			.line = line,
		};
	pl061_reset(device);
	return 0;
}

/* ---- Its state ---- */

/* A press in progress continues with a whole pulse. */
static void put_state(struct device *device)
{
	struct pl061 *gpio = container_of(device, struct pl061, pl.device);

	for (unsigned line = 0; line < PL061_LINES; line++)
		loop_timer_arm(gpio->loop, &gpio->buttons[line].timer, PL061_PULSE_MS);
}

#define STATE(member) STATE_ONE(struct pl061, state.member), .max = 0xff

static const struct state_field state_fields[] = {
	{ "in", STATE(in) },
	{ "out", STATE(out) },
	{ "seen", STATE(seen) },
	{ "dir", STATE(dir) },
	{ "is", STATE(is) },
	{ "ibe", STATE(ibe) },
	{ "iev", STATE(iev) },
	{ "afsel", STATE(afsel) },
	{ "edges", STATE(edges) },
	{ "unread", STATE(unread) },
	{ "presses", STATE_ARRAY(struct pl061, state.presses) },
	{ "held", STATE_ARRAY(struct pl061, state.held), .max = PL061_PULSES_MAX },
	{ 0 },
};

static const struct state_part pl061_state = {
	STATE_PART(struct pl061, state),
	.fields = state_fields,
	.put = put_state,
};

const struct device_class pl061_class = {
	.compatible = "arm,pl061",
	.bytes = sizeof(struct pl061),
	.kind = DEVICE_PLATFORM,
	.init = pl061_init,
	.reset = pl061_reset,
	.pause = pl061_pause,
	.state = { &pl061_state, &primecell_state },
	.finish = pl061_finish,
};
