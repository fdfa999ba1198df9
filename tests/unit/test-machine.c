/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's life: what is made and unmade in which order, what comes of what its vCPUs tell, and of
 * several that tell at once. Its parts and KVM are played here, and write down who was called: that many
 * stand-ins make it long.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "board/errors.h"
#include "board/guest-map.h"
#include "board/guest-tree.h"
#include "board/loader.h"
#include "board/machine-internal.h"
#include "devices/pl061.h"
#include "devices/sp805.h"
#include "hyp/listener.h"
#include "hyp/log.h"
#include "hyp/loop.h"
#include "hyp/util.h"
#include "unit.h"

#define RAM_GPA	  UINT64_C(0x40000000)
#define RAM_BYTES (64 * KiB)

/* What was called, in words; and which of the calls that can fail does, counted from 1. */
static char trace[4096];
static unsigned calls, fail_at;

static void note(const char *what)
{
	strcat(strcat(trace, *trace ? " " : ""), what);
}

static int called(const char *what)
{
	note(what);
	return ++calls == fail_at ? -ENOMEM : 0;
}

static void assert_called(const char *expected)
{
	assert_string_equal(trace, expected);
	*trace = '\0';
}

/* ---- Parts ---- */

static struct machine *machine;
static uint8_t *ram;
static void (*tell)(void *opaque, enum vcpus_event event, const char *text);

static void drain(struct device *device)
{
	note("drain");
}

static void quiesce(struct device *device)
{
	note("quiesce");
}

static void reset(struct device *device)
{
	note("reset");
}

static void pause_device(struct device *device, bool paused)
{
	note(paused ? "pause" : "unpause");
}

static const struct device_class class = {
	.drain = drain, .quiesce = quiesce, .reset = reset, .pause = pause_device
};
static struct device device = { .class = &class, .id = "device0" };
static char window; /* nothing looks into it */

static uint8_t *stolen_time; /* NULL: vCPUs are told of none */
static struct memory_slot last_slot;

static int listener_open(struct listener *listener, const struct memory_slot *slot)
{
	last_slot = *slot;
	return called("slot");
}

static void listener_forget(struct listener *listener)
{
	note("no-slots");
}

static const struct listener_ops listener_ops = { .open = listener_open,
	.forget = listener_forget };
static struct listener listener = { &listener_ops, "test", 8 };

int machine_create_parts(struct machine *of,
	void (*on_event)(void *opaque, enum vcpus_event event, const char *text),
	struct errors *errors)
{
	int err = called("parts");

	if (err)
		return err;
	machine = of;
	tell = on_event;
	of->vcpus = (struct vcpus *)&window;
	of->ram[0] = ram;
	of->stolen_time = stolen_time;
	of->devices[0].device = &device;
	of->devices[0].window = (struct window *)&window;
	slots_init(&of->slots);
	guestmem_add(&of->mem,
		&(struct guestmem_range){ .gpa = RAM_GPA, .size = RAM_BYTES, .hva = ram });
	err = slots_add_listener(&of->slots, &listener);
	return err ? err : slots_reserve(&of->slots, "memory", 2);
}

void machine_destroy_parts(struct machine *of)
{
	note("no-parts");
	slots_finish(&of->slots);
}

void machine_for_each_device(
	struct machine *of, void (*call)(struct machine *machine, struct machine_device *device))
{
	if (of->devices[0].device)
		call(of, &of->devices[0]);
}

void vcpus_park(struct vcpus *vcpus)
{
	note("park");
}

void vcpus_run(struct vcpus *vcpus)
{
	note("run");
}

int vcpus_build(struct vcpus *vcpus, struct vm *vm)
{
	return called("vcpus");
}

void vcpus_teardown(struct vcpus *vcpus)
{
	note("no-vcpus");
}

int vcpus_start_features(struct vcpus *vcpus)
{
	return called("features");
}

int vcpus_set_entry(struct vcpus *vcpus, uint64_t pc, uint64_t x0)
{
	assert_int_equal(pc, RAM_GPA + 0x200);
	assert_int_equal(x0, RAM_GPA + 0x1000);
	return called("entry");
}

int vm_create(struct vm *vm, int kvm_fd, unsigned ipa_bits)
{
	return called("vm");
}

void vm_destroy(struct vm *vm)
{
	note("no-vm");
}

int vm_add_doorbells(struct vm *vm, const struct mmio_bus *bus)
{
	return called("doorbells");
}

static struct gic_layout gic;

int gic_create(struct vm *vm, const struct gic_layout *layout)
{
	gic = *layout;
	return called("gic");
}

int gic_init(struct vm *vm)
{
	return called("gic-init");
}

/* Each machine has three at fixed places, and here one of the tree's. */
int irq_pin_connect(struct irq_pin *pin, struct vm *vm)
{
	return called("irq");
}

void irq_pin_disconnect(struct irq_pin *pin)
{
	note("no-irq");
}

static int kvm_fd;

int __wrap_kvm_open(void);
int __wrap_kvm_open(void)
{
	int err = called("kvm");

	if (err)
		return err;
	kvm_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return kvm_fd;
}

void __wrap_window_attach(struct window *of, struct slots *slots);
void __wrap_window_attach(struct window *of, struct slots *slots)
{
	note("window");
}

int __wrap_window_detach(struct window *of);
int __wrap_window_detach(struct window *of)
{
	return called("no-window");
}

uint64_t __wrap_window_plugged_bytes(const struct window *of);
uint64_t __wrap_window_plugged_bytes(const struct window *of)
{
	return 5 * MiB;
}

int __wrap_registers_map(const struct registers *registers, struct vm *vm, unsigned slot);
int __wrap_registers_map(const struct registers *registers, struct vm *vm, unsigned slot)
{
	assert_int_equal(slot, 7);
	return called("registers");
}

static unsigned pressed;
void __wrap_pl061_pulse(struct device *gpio, unsigned line);
void __wrap_pl061_pulse(struct device *gpio, unsigned line)
{
	pressed++;
}

static void (*bites)(struct device *device, enum sp805_action action, void *opaque);
void __wrap_sp805_watch(struct device *watchdog,
	void (*bite)(struct device *device, enum sp805_action action, void *opaque), void *opaque);
void __wrap_sp805_watch(struct device *watchdog,
	void (*bite)(struct device *device, enum sp805_action action, void *opaque), void *opaque)
{
	assert_ptr_equal(opaque, machine);
	bites = bite;
}

int loader_open(const struct machine_config *config, struct errors *errors, struct loader **ret)
{
	return called("files");
}

void loader_close(struct loader *loader)
{
	note("no-files");
}

int loader_load(struct loader *loader, const struct guestmem *mem, struct errors *errors,
	struct loader_result *ret)
{
	for (unsigned i = 0; i < RAM_BYTES; i++)
		assert_int_equal(ram[i], 0); /* of the last life */
	memset(ret, 0, sizeof(*ret));
	ret->entry_gpa = RAM_GPA + 0x200;
	ret->tree_gpa = RAM_GPA + 0x1000;
	ret->initrd_gpa = RAM_GPA + 0x8000;
	ret->initrd_size = 0x123;
	return called("load");
}

static uint8_t seeds[2][72]; /* of this life and the last */

int guest_tree_build(const struct machine_config *config, const struct guest_tree_input *input,
	void **ret, size_t *ret_size)
{
	assert_int_equal(input->initrd_gpa, RAM_GPA + 0x8000);
	assert_int_equal(input->initrd_size, 0x123);
	memcpy(seeds[1], seeds[0], sizeof(seeds[0]));
	memcpy(seeds[0], input->kaslr_seed, 8);
	memcpy(seeds[0] + 8, input->rng_seed, 64);
	*ret = strdup("tree");
	*ret_size = 5;
	if (called("tree")) {
		free(*ret);
		return -ENOSPC;
	}
	return 0;
}

/* ---- A machine ---- */

static struct loop *loop;
static char noticed[1024];
static struct errors errors;
static struct machine_config *config;

static void notice(void *opaque, enum machine_notice what, const char *reason)
{
	static const char *const names[] = {
		[MACHINE_POWERDOWN] = "powerdown",
		[MACHINE_STOP] = "stop",
		[MACHINE_RESUME] = "resume",
		[MACHINE_RESET] = "reset",
		[MACHINE_SHUTDOWN] = "shutdown",
		[MACHINE_WATCHDOG] = "watchdog",
	};

	strcat(noticed, names[what]);
	strcat(strcat(strcat(noticed, "("), reason ? reason : ""), ")");
}

static void assert_noticed(const char *expected)
{
	assert_string_equal(noticed, expected);
	*noticed = '\0';
}

static void no_log(enum log_level level, const char *line)
{
}

static int create(bool no_reboot)
{
	static const struct kvm_limits kvm = { .memslots = 7 };
	const struct machine_options options = {
		.name = "test", .no_reboot = no_reboot, .kvm = &kvm, .notify = notice
	};
	struct machine *made;

	*trace = *noticed = '\0';
	calls = 0;
	memset(ram, 0, RAM_BYTES);
	return machine_create(config, &options, loop, &errors, &made);
}

static void start(bool no_reboot)
{
	assert_int_equal(create(no_reboot), 0);
	assert_int_equal(machine_start(machine), 0);
	*trace = '\0';
}

static int set_up(void **state)
{
	log_set_sink(no_log);
	config = calloc(1, sizeof(*config));
	config->cpu_count = 1;
	config->memory[0] = (struct range){ RAM_GPA, RAM_BYTES };
	config->memory_count = config->device_count = 1;
	config->file = (char *)"test.dts";
	ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	device.class = &class;
	fail_at = pressed = 0;
	return loop_create(&loop);
}

static int tear_down(void **state)
{
	errors_finish(&errors);
	errors = (struct errors){ 0 };
	munmap(ram, RAM_BYTES);
	free(config);
	loop_destroy(loop);
	return 0;
}

static void stop_loop(struct loop_task *task)
{
	loop_stop(loop);
}

/* What is posted, and what that posts. */
static void serve(void)
{
	for (unsigned i = 0; i < 3; i++) {
		struct loop_task last = { .run = stop_loop };

		loop_post(loop, &last);
		assert_int_equal(loop_run(loop), 0);
		loop_task_cancel(loop, &last);
	}
}

#define BUILD                                                                                      \
	"vm gic slot window vcpus gic-init features irq irq irq irq registers doorbells load "     \
	"tree entry"
#define UNBUILD "no-slots no-irq no-irq no-irq no-irq no-vcpus no-vm no-window"

static void made_and_unmade_in_order(void **state)
{
	assert_int_equal(create(false), 0);
	assert_called("kvm files parts " BUILD);
	assert_string_equal((char *)ram + 0x1000, "tree");
	assert_int_equal(machine_state(machine), MACHINE_RESETTING);
	assert_int_equal(machine_start(machine), 0);
	assert_called("run");
	assert_int_equal(machine_state(machine), MACHINE_RUNNING);
	assert_int_equal(machine_memory_bytes(machine), RAM_BYTES + 5 * MiB);
	assert_int_equal(machine_slots(machine)->reserved, 2);
	machine_destroy(machine);
	assert_called("drain park quiesce no-slots no-vcpus no-vm no-window no-files no-parts");
	assert_noticed("");
	assert_int_equal(fcntl(kvm_fd, F_GETFD), -1);
	machine_destroy(NULL);
	assert_int_equal(last_slot.gpa, RAM_GPA);
	assert_int_equal(last_slot.size, RAM_BYTES);
	assert_ptr_equal(last_slot.hva, ram);
}

/* As the map of the guest has it; and 123 vCPUs have a place in the second range. */
static void the_gic_is_where_the_map_says(void **state)
{
	start(false);
	assert_int_equal(gic.dist_gpa, GIC_DIST_BASE);
	assert_int_equal(gic.redist[0].gpa, GIC_REDIST_BASE);
	assert_int_equal(gic.redist[0].count, 1);
	assert_int_equal(gic.redist[1].count, 0);
	assert_int_equal(gic.its_gpa, 0);
	assert_int_equal(gic.interrupts, 32 + 256);
	assert_false(gic.nested);
	machine_destroy(machine);
	config->cpu_count = GIC_REDIST_VCPUS + 2;
	config->gic_version = 3;
	config->its = true;
	config->cpu_features = 1u << CPU_NESTED;
	start(false);
	assert_int_equal(gic.version, 3);
	assert_int_equal(gic.redist[0].count, GIC_REDIST_VCPUS);
	assert_int_equal(gic.redist[1].gpa, GIC_REDIST2_BASE);
	assert_int_equal(gic.redist[1].count, 2);
	assert_int_equal(gic.its_gpa, GIC_ITS_BASE);
	assert_true(gic.nested);
	machine_destroy(machine);
}

static void stolen_time_is_of_one_life(void **state)
{
	stolen_time = mmap(
		NULL, STOLEN_TIME_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	start(false);
	assert_int_equal(last_slot.gpa, STOLEN_TIME_BASE);
	assert_int_equal(last_slot.size, STOLEN_TIME_SIZE);
	assert_ptr_equal(last_slot.hva, stolen_time);
	stolen_time[0] = stolen_time[STOLEN_TIME_SIZE - 1] = 7;
	machine_reset(machine, "guest-reset");
	serve();
	assert_int_equal(stolen_time[0] + stolen_time[STOLEN_TIME_SIZE - 1], 0);
	machine_destroy(machine);
	munmap(stolen_time, STOLEN_TIME_SIZE);
	stolen_time = NULL;
}

/* A machine that goes with news and a reset that wait: none of it comes. */
static void what_waits_goes_with_it(void **state)
{
	start(false);
	tell(machine, VCPUS_STOP, "why");
	machine_reset(machine, "guest-reset");
	machine_destroy(machine);
	serve();
	assert_noticed("");
}

/* Each of its calls refused, once: nothing of it is left. */
static void each_call_of_making_it_fails(void **state)
{
	for (fail_at = 1; create(false) < 0; fail_at++) {
		assert_true(errors_any(&errors));
		if (fail_at > 3) /* parts were there */
			assert_non_null(strstr(trace,
				"drain park quiesce no-slots no-vcpus no-vm no-window no-files "
				"no-parts"));
		errors_finish(&errors);
		errors = (struct errors){ 0 };
	}
	assert_int_equal(fail_at, 3 + 15 + 1);
	fail_at = 0;
	machine_destroy(machine);
}

static void a_reset_is_another_life(void **state)
{
	start(false);
	memset(ram, 7, RAM_BYTES);
	tell(machine, VCPUS_RESET, "");
	serve();
	assert_noticed("reset(guest-reset)");
	assert_called("drain park quiesce " UNBUILD " reset " BUILD " run");
	assert_string_equal((char *)ram + 0x1000, "tree");
	assert_int_equal(machine_state(machine), MACHINE_RUNNING);
	assert_memory_not_equal(seeds[0], seeds[1], 8);
	assert_memory_not_equal(seeds[0] + 8, seeds[1] + 8, 64);
	machine_reset(machine, "host-qmp-system-reset");
	serve();
	assert_noticed("reset(host-qmp-system-reset)");
	machine_destroy(machine);
}

static void a_reset_that_fails_ends_it(void **state)
{
	for (unsigned at = 1; at <= 1 + 15; at++) {
		start(false);
		memset(ram, 7, RAM_BYTES);
		calls = 0;
		fail_at = at;
		machine_reset(machine, "guest-reset");
		serve();
		fail_at = 0;
		if (at == 1) /* a window that cannot be emptied: all else is */
			assert_called("drain park quiesce " UNBUILD " reset drain park");
		assert_int_equal(machine_state(machine), MACHINE_FAILED);
		assert_noticed("reset(guest-reset)shutdown(host-error)");
		assert_string_equal(machine_stop_reason(machine),
			"the machine could not be built anew after a reset");
		assert_null(strstr(trace, "run"));
		machine_destroy(machine);
	}
}

static void no_reboot_ends_it(void **state)
{
	start(true);
	machine_reset(machine, "guest-reset");
	serve();
	assert_noticed("shutdown(guest-reset)");
	assert_called("drain park");
	assert_int_equal(machine_state(machine), MACHINE_OFF);
	machine_quit(machine, "host-qmp-quit"); /* it has ended */
	assert_noticed("");
	machine_destroy(machine);
}

static void each_event_has_its_end(void **state)
{
	static const struct {
		enum vcpus_event event;
		enum machine_state state;
		const char *noticed, *called, *reason;
	} cases[] = {
		{ VCPUS_POWER_OFF, MACHINE_OFF, "shutdown(guest-shutdown)", "drain park", NULL },
		{ VCPUS_PAUSE, MACHINE_PAUSED, "stop()", "drain park pause", "why" },
		{ VCPUS_STOP, MACHINE_STOPPED, "shutdown(guest-panic)", "drain park", "why" },
		{ VCPUS_HOST_FAULT, MACHINE_FAILED, "shutdown(host-error)", "drain park", "why" },
		{ VCPUS_ERROR, MACHINE_FAILED, "shutdown(host-error)", "drain park", "why" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		start(false);
		tell(machine, cases[i].event, "why");
		assert_called(""); /* that is the loop's to do */
		serve();
		assert_int_equal(machine_state(machine), cases[i].state);
		assert_noticed(cases[i].noticed);
		assert_called(cases[i].called);
		if (cases[i].reason)
			assert_string_equal(machine_stop_reason(machine), cases[i].reason);
		else
			assert_null(machine_stop_reason(machine));
		machine_destroy(machine);
	}
}

/* Whichever came first; of the same, the first. */
static void the_gravest_wins(void **state)
{
	for (unsigned first = VCPUS_POWER_OFF; first <= VCPUS_ERROR; first++)
		for (unsigned second = VCPUS_POWER_OFF; second <= VCPUS_ERROR; second++) {
			unsigned gravest = first > second ? first : second;

			start(false);
			tell(machine, first, "first");
			tell(machine, second, "second");
			serve();
			if (gravest == VCPUS_POWER_OFF)
				assert_int_equal(machine_state(machine), MACHINE_OFF);
			else if (gravest == VCPUS_RESET)
				assert_noticed("reset(guest-reset)");
			else
				assert_string_equal(machine_stop_reason(machine),
					second > first ? "second" : "first");
			machine_destroy(machine);
		}
}

/* What was told counts once: then the mildest is news again. */
static void news_is_taken(void **state)
{
	start(false);
	tell(machine, VCPUS_PAUSE, "why");
	serve();
	tell(machine, VCPUS_POWER_OFF, "");
	serve();
	assert_int_equal(machine_state(machine), MACHINE_OFF);
	assert_noticed("stop()shutdown(guest-shutdown)");
	machine_destroy(machine);
}

/* What was told before a pause, or of the life before, is not of now. */
static void late_news(void **state)
{
	start(false);
	tell(machine, VCPUS_PAUSE, "why");
	serve();
	tell(machine, VCPUS_RESET, "");
	serve();
	tell(machine, VCPUS_PAUSE, "other");
	serve();
	assert_noticed("stop()");
	assert_string_equal(machine_stop_reason(machine), "why");
	*trace = '\0';
	/* A reset ends the pause, and whatever was told by then. */
	machine_reset(machine, "host-qmp-system-reset");
	tell(machine, VCPUS_STOP, "of the last life");
	serve();
	assert_noticed("reset(host-qmp-system-reset)resume()");
	assert_int_equal(machine_state(machine), MACHINE_RUNNING);
	assert_null(machine_stop_reason(machine));
	/* Nor does it count for what comes now. */
	tell(machine, VCPUS_POWER_OFF, "");
	serve();
	assert_int_equal(machine_state(machine), MACHINE_OFF);
	machine_reset(machine, "guest-reset"); /* which it has ended by now */
	*noticed = '\0';
	serve();
	assert_noticed("");
	machine_destroy(machine);
}

static void buttons_and_the_watchdog(void **state)
{
	static const struct {
		enum sp805_action action;
		const char *noticed;
		enum machine_state state;
	} cases[] = {
		{ SP805_EVENT, "watchdog(none)", MACHINE_RUNNING },
		{ SP805_RESET, "watchdog(reset)reset(guest-reset)", MACHINE_RUNNING },
		{ SP805_PAUSE, "watchdog(pause)stop()", MACHINE_PAUSED },
		{ SP805_POWER_OFF, "watchdog(poweroff)shutdown(guest-panic)", MACHINE_STOPPED },
	};

	bites = NULL;
	start(false);
	assert_null(bites);
	machine_power_button(machine);
	assert_noticed("powerdown()");
	assert_int_equal(pressed, 1);
	machine_quit(machine, "host-qmp-quit");
	assert_noticed("shutdown(host-qmp-quit)");
	machine_destroy(machine);
	/* The class is known by its address. */
	device.class = &sp805_class;
	assert_int_equal(create(false), 0);
	device.class = &class;
	assert_non_null(bites);
	machine_start(machine);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		machine->state = MACHINE_RUNNING;
		bites(&device, cases[i].action, machine);
		serve();
		assert_noticed(cases[i].noticed);
		assert_int_equal(machine_state(machine), cases[i].state);
	}
	/* It does not run any more. */
	bites(&device, SP805_EVENT, machine);
	assert_noticed("");
	machine_destroy(machine);
}

/* ---- Several vCPUs at once ---- */

#define VCPUS 3
#define TELLS 3000

static void *vcpu(void *opaque)
{
	unsigned *index = opaque;
	char text[200] = "";

	memset(text, 'a' + (int)*index, sizeof(text) - 1);
	for (unsigned i = 0; i < TELLS; i++)
		tell(machine, VCPUS_PAUSE, text); /* which counts once */
	tell(machine, VCPUS_STOP, text);
	return NULL;
}

static void several_tell_at_once(void **state)
{
	unsigned index[VCPUS];
	pthread_t threads[VCPUS];
	const char *why;

	start(false);
	for (unsigned i = 0; i < VCPUS; i++) {
		index[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, vcpu, &index[i]), 0);
	}
	assert_int_equal(loop_run(loop), 0);
	for (unsigned i = 0; i < VCPUS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(machine_state(machine), MACHINE_STOPPED);
	why = machine_stop_reason(machine);
	assert_int_equal(strlen(why), 199);
	assert_int_equal(strspn(why, (char[]){ why[0], 0 }), 199);
	machine_destroy(machine);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(made_and_unmade_in_order),
		T(the_gic_is_where_the_map_says),
		T(stolen_time_is_of_one_life),
		T(what_waits_goes_with_it),
		T(each_call_of_making_it_fails),
		T(a_reset_is_another_life),
		T(a_reset_that_fails_ends_it),
		T(no_reboot_ends_it),
		T(each_event_has_its_end),
		T(the_gravest_wins),
		T(news_is_taken),
		T(late_news),
		T(buttons_and_the_watchdog),
		T(several_tell_at_once),
	};

	return cmocka_run_group_tests_name("machine", tests, NULL, NULL);
}
