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
#include <sys/random.h>
#include <unistd.h>

#include "board/boot/guest-tree.h"
#include "board/boot/loader.h"
#include "board/config/map.h"
#include "board/machine/machine-internal.h"
#include "board/text/errors.h"
#include "devices/arm/pl061.h"
#include "hyp/base/log.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"
#include "hyp/memory/listener.h"
#include "tests/unit/helpers/unit.h"

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
static int vm_fd; /* that the machine gets; 0: none */
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
	of->ram[0] = (struct backing){ .hva = ram, .size = RAM_BYTES, .fd = -1 };
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

#define COUNT 1234567890
static int time_error;

int vcpus_get_time(struct vcpus *vcpus, uint64_t *ret_count)
{
	note("time");
	if (!time_error)
		*ret_count = COUNT;
	return time_error;
}

int vcpus_set_time(struct vcpus *vcpus, uint64_t count)
{
	note("set-time");
	assert_int_equal(count, COUNT);
	return time_error;
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

void vm_adopt(struct vm *vm, int kvm_fd, int fd)
{
	note("adopted");
	assert_int_equal(fd, vm_fd);
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

static void (*bites)(struct device *device, enum watchdog_action action, void *opaque);
static void watch(struct device *watchdog,
	void (*bite)(struct device *device, enum watchdog_action action, void *opaque), void *opaque)
{
	assert_ptr_equal(opaque, machine);
	bites = bite;
}

int loader_open(const struct machine_config *config, struct errors *errors, struct loader **ret)
{
	return called("files");
}

void loader_plan(const struct loader *loader, struct loader_result *ret)
{
	*ret = (struct loader_result){ .page_bytes = 4 * KiB };
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

void guest_tree_check_aliases(
	const struct machine_config *config, const void *tree, struct errors *errors)
{
	assert_string_equal(tree, "tree");
	warning_add(errors, "/aliases", "mem", "lost");
}

/* Every other call is interrupted: a signal comes while the host has no randomness yet. */
static bool interrupts;
static unsigned randoms;

ssize_t __real_getrandom(void *buffer, size_t len, unsigned flags);
ssize_t __wrap_getrandom(void *buffer, size_t len, unsigned flags);
ssize_t __wrap_getrandom(void *buffer, size_t len, unsigned flags)
{
	if (!interrupts || randoms++ % 2)
		return __real_getrandom(buffer, len, flags);
	errno = EINTR;
	return -1;
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
	const struct machine_options options = { .name = "test",
		.no_reboot = no_reboot,
		.kvm = &kvm,
		.vm_fd = vm_fd,
		.notify = notice };
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

/* Told when the machine is made, by its tree; of a later life nobody hears it again. */
static void lost_aliases_are_told(void **state)
{
	assert_int_equal(create(false), 0);
	assert_int_equal(errors.count, 1);
	assert_false(errors_any(&errors));
	assert_string_equal(errors.lines[0], "warning: test.dts: /aliases: mem: lost");
	machine_start(machine);
	machine_reset(machine, "guest-reset");
	serve();
	assert_int_equal(errors.count, 1);
	machine_destroy(machine);
}

static void seeds_are_whole_though_signals_come(void **state)
{
	static const uint8_t none[64];

	memset(seeds, 0, sizeof(seeds));
	interrupts = true;
	assert_int_equal(create(false), 0);
	interrupts = false;
	assert_int_equal(randoms, 4);
	assert_memory_not_equal(seeds[0], none, 8);
	assert_memory_not_equal(seeds[0] + 8, none, 64);
	machine_destroy(machine);
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
		assert_int_equal(errors.warnings, 0);
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

/* The VM that was asked for GICs is that of the first life; where there is none, it goes. */
static void a_vm_that_is_there_is_taken(void **state)
{
	vm_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	fail_at = 2;
	assert_true(create(false) < 0);
	assert_int_equal(fcntl(vm_fd, F_GETFD), -1);
	errors_finish(&errors);
	errors = (struct errors){ 0 };
	fail_at = 0;
	vm_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	start(false);
	assert_int_equal(fcntl(vm_fd, F_GETFD), FD_CLOEXEC);
	close(vm_fd);
	machine_reset(machine, "host-qmp-system-reset");
	serve();
	assert_called("drain park quiesce " UNBUILD " reset " BUILD " run");
	assert_noticed("reset(host-qmp-system-reset)");
	machine_destroy(machine);
	vm_fd = 0;
}

static struct loop_timer at_last;

static void on_at_last(struct loop_timer *timer)
{
	loop_stop(loop);
}

/* Serves the loop for so long. */
static void serve_for(uint64_t ms)
{
	at_last.fired = on_at_last;
	loop_timer_arm(loop, &at_last, ms);
	assert_int_equal(loop_run(loop), 0);
}

static unsigned warned;

static void count_log(enum log_level level, const char *line)
{
	warned += strstr(line, "has reset its machine more than 10 times in 15 s") != NULL;
}

static void storm(void)
{
	warned = 0;
	log_set_sink(count_log);
	start(false);
	for (unsigned i = 0; i <= RESETS_MAX; i++) {
		*trace = *noticed = '\0';
		assert_int_equal(machine_state(machine), MACHINE_RUNNING);
		assert_int_equal(warned, 0);
		tell(machine, VCPUS_RESET, "");
		serve();
	}
	assert_int_equal(machine_state(machine), MACHINE_RESETTING);
	assert_called("drain park quiesce " UNBUILD " reset");
	assert_noticed("reset(guest-reset)");
	assert_int_equal(warned, 1);
}

/* A guest that does little else waits, emptied, between two lives; the loop does not. */
static void a_storm_of_resets(void **state)
{
	for (unsigned i = 0; i < 3; i++) {
		storm();
		for (unsigned again = 0; again < 2; again++) {
			uint64_t before = loop_now_ms();

			while (machine_state(machine) == MACHINE_RESETTING &&
				loop_now_ms() - before < 60000)
				serve_for(10);
			assert_called(BUILD " run");
			assert_true(loop_now_ms() - before >= RESET_PAUSE_MS / 2);
			tell(machine, VCPUS_RESET, "");
			serve();
			assert_int_equal(machine_state(machine), MACHINE_RESETTING);
			assert_called("drain park quiesce " UNBUILD " reset");
			if (i)
				break;
		}
		assert_int_equal(warned, 1);
		*noticed = '\0';
		if (i == 0) { /* the owner's reset does not wait, */
			machine_reset(machine, "host-qmp-system-reset");
			serve();
			assert_called(BUILD " run");
			assert_noticed("reset(host-qmp-system-reset)");
		} else if (i == 1) { /* nor does his end, */
			machine_quit(machine, "host-qmp-quit");
			assert_int_equal(loop_run(loop), 0);
			assert_int_equal(machine_state(machine), MACHINE_OFF);
			assert_noticed("shutdown(host-qmp-quit)");
			serve_for(2 * RESET_PAUSE_MS);
			assert_null(strstr(trace, "run"));
		} /* and one that goes takes its timer along */
		machine_destroy(machine);
	}
	log_set_sink(no_log);
}

static void until_built(void)
{
	for (unsigned i = 0; i < 1000 && machine->build_later.loop; i++)
		serve_for(10);
}

/* One that waits to be built begins its next life paused, or runs, as its owner said last. */
static void paused_while_it_waits(void **state)
{
	storm();
	machine_pause(machine);
	machine_pause(machine);
	assert_noticed("stop()");
	assert_int_equal(machine_state(machine), MACHINE_PAUSED);
	assert_called("");
	until_built();
	assert_called(BUILD " pause drain park time");
	assert_int_equal(machine_state(machine), MACHINE_PAUSED);
	assert_noticed("");
	machine_resume(machine);
	assert_called("set-time unpause run");
	assert_noticed("resume()");
	machine_destroy(machine);

	storm();
	machine_pause(machine);
	machine_resume(machine);
	machine_resume(machine);
	assert_noticed("stop()resume()");
	assert_int_equal(machine_state(machine), MACHINE_RESETTING);
	until_built();
	assert_called(BUILD " run");
	assert_noticed("");
	machine_destroy(machine);

	/* And what another pause began ends with the wait. */
	storm();
	until_built();
	tell(machine, VCPUS_PAUSE, "why");
	serve();
	*noticed = *trace = '\0';
	machine_reset(machine, "guest-reset");
	serve();
	assert_int_equal(machine_state(machine), MACHINE_RESETTING);
	assert_noticed("reset(guest-reset)");
	until_built();
	assert_noticed("resume()");
	machine_destroy(machine);
	log_set_sink(no_log);
}

/* Resets by the owner are not counted, nor those that are long ago. */
static void resets_that_are_no_storm(void **state)
{
	struct reset_rate rate = { 0 };

	start(false);
	for (unsigned i = 0; i < 3 * RESETS_MAX; i++) {
		*trace = *noticed = '\0';
		machine_reset(machine, "host-qmp-system-reset");
		serve();
		assert_int_equal(machine_state(machine), MACHINE_RUNNING);
	}
	machine_destroy(machine);
	for (unsigned i = 0; i < RESETS_MAX; i++)
		assert_int_equal(reset_rate_wait_ms(&rate), 0);
	assert_int_equal(reset_rate_wait_ms(&rate), RESET_PAUSE_MS);
	for (unsigned i = 0; i < RESETS_MAX; i++)
		rate.at_ms[i] -= RESETS_WINDOW_MS;
	assert_int_equal(reset_rate_wait_ms(&rate), 0);
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
		{ VCPUS_PAUSE, MACHINE_PAUSED, "stop()", "pause drain park time", "why" },
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

/* What is told in a pause does not end it, nor does what was told of the life before count now. */
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

/* Its owner pauses it and runs it again: once each, and whatever else is asked. */
static void paused_by_its_owner(void **state)
{
	start(false);
	machine_resume(machine);
	assert_called("");
	machine_pause(machine);
	assert_called("pause drain park time");
	assert_int_equal(machine_state(machine), MACHINE_PAUSED);
	assert_null(machine_stop_reason(machine));
	machine_pause(machine);
	assert_called("");
	assert_noticed("stop()");
	machine_resume(machine);
	assert_called("set-time unpause run");
	assert_noticed("resume()");
	assert_int_equal(machine_state(machine), MACHINE_RUNNING);
	machine_resume(machine);
	assert_called("");
	/* A system reset builds it anew, and it stays paused. */
	machine_pause(machine);
	assert_called("pause drain park time");
	machine_reset(machine, "host-qmp-system-reset");
	serve();
	assert_noticed("stop()reset(host-qmp-system-reset)");
	assert_called("drain park quiesce " UNBUILD " reset " BUILD " pause drain park time");
	assert_int_equal(machine_state(machine), MACHINE_PAUSED);
	machine_resume(machine);
	assert_called("set-time unpause run");
	assert_noticed("resume()");
	/* What another pause began a reset ends, as ever. */
	tell(machine, VCPUS_PAUSE, "why");
	serve();
	machine_pause(machine);
	machine_reset(machine, "host-qmp-system-reset");
	serve();
	assert_noticed("stop()reset(host-qmp-system-reset)resume()");
	machine_quit(machine, "host-qmp-quit");
	machine_pause(machine);
	machine_resume(machine);
	assert_int_equal(machine_state(machine), MACHINE_OFF);
	machine_destroy(machine);
}

/* A vCPU that asked for something does not run on as if it had not; what a reset makes anew asks for nothing. */
static void asked_while_it_was_paused(void **state)
{
	start(false);
	machine_pause(machine);
	tell(machine, VCPUS_RESET, "");
	tell(machine, VCPUS_PAUSE, "other");
	serve();
	assert_noticed("stop()");
	*trace = '\0';
	machine_resume(machine);
	assert_called("set-time unpause");
	serve();
	assert_noticed("resume()reset(guest-reset)");
	assert_called("drain park quiesce " UNBUILD " reset " BUILD " run");
	machine_pause(machine);
	*trace = '\0';
	machine_resume(machine);
	assert_called("set-time unpause run");
	/* Of two strays each has its pause. */
	machine_pause(machine);
	tell(machine, VCPUS_PAUSE, "other");
	serve();
	*trace = *noticed = '\0';
	machine_resume(machine);
	assert_called("set-time unpause");
	serve();
	assert_noticed("resume()stop()");
	assert_string_equal(machine_stop_reason(machine), "other");
	assert_called("pause drain park time");
	machine_resume(machine);
	assert_called("set-time unpause run");
	/* One that asks for a reset as another strays. */
	tell(machine, VCPUS_RESET, "");
	tell(machine, VCPUS_PAUSE, "stray");
	serve();
	*noticed = '\0';
	machine_resume(machine);
	serve();
	assert_noticed("resume()reset(guest-reset)");
	/* The owner's reset that is posted stays his. */
	machine_pause(machine);
	tell(machine, VCPUS_RESET, "");
	machine_reset(machine, "host-qmp-system-reset");
	*noticed = '\0';
	machine_resume(machine);
	serve();
	assert_noticed("resume()reset(host-qmp-system-reset)");
	/* One that powers off as another strays, and one that does so later. */
	for (unsigned later = 0; later < 2; later++) {
		if (!later)
			tell(machine, VCPUS_POWER_OFF, "");
		tell(machine, VCPUS_PAUSE, "stray");
		serve();
		assert_int_equal(machine_state(machine), MACHINE_PAUSED);
		if (later) {
			tell(machine, VCPUS_PAUSE, "stray");
			tell(machine, VCPUS_POWER_OFF, "");
			serve();
			assert_int_equal(machine_state(machine), MACHINE_PAUSED);
		}
		*trace = '\0';
		machine_resume(machine);
		assert_null(strstr(trace, "run"));
		assert_int_equal(machine_state(machine), MACHINE_OFF);
		machine_destroy(machine);
		start(false);
	}
	/* It may end itself in a pause. */
	machine_pause(machine);
	tell(machine, VCPUS_POWER_OFF, "");
	serve();
	assert_int_equal(machine_state(machine), MACHINE_OFF);
	machine_destroy(machine);
}

/* Where KVM does not tell the guest's time, it goes on. */
static void time_that_is_not_told(void **state)
{
	time_error = -ENOENT;
	start(false);
	machine_pause(machine);
	assert_called("pause drain park time");
	machine_resume(machine);
	assert_called("unpause run");
	time_error = 0;
	machine_pause(machine);
	*trace = '\0';
	time_error = -EBUSY;
	machine_resume(machine);
	assert_called("set-time unpause run");
	time_error = 0;
	machine_destroy(machine);
}

static const struct device_class watchdog_class = {
	.drain = drain, .quiesce = quiesce, .reset = reset, .pause = pause_device, .watchdog = watch
};

static void buttons_and_the_watchdog(void **state)
{
	static const struct {
		enum watchdog_action action;
		const char *noticed;
		enum machine_state state;
	} cases[] = {
		{ WATCHDOG_EVENT, "watchdog(none)", MACHINE_RUNNING },
		{ WATCHDOG_RESET, "watchdog(reset)reset(guest-reset)", MACHINE_RUNNING },
		{ WATCHDOG_PAUSE, "watchdog(pause)stop()", MACHINE_PAUSED },
		{ WATCHDOG_POWER_OFF, "watchdog(poweroff)shutdown(guest-panic)", MACHINE_STOPPED },
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
	device.class = &watchdog_class;
	assert_int_equal(create(false), 0);
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
	bites(&device, WATCHDOG_EVENT, machine);
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
		T(lost_aliases_are_told),
		T(seeds_are_whole_though_signals_come),
		T(the_gic_is_where_the_map_says),
		T(stolen_time_is_of_one_life),
		T(what_waits_goes_with_it),
		T(each_call_of_making_it_fails),
		T(a_reset_is_another_life),
		T(a_vm_that_is_there_is_taken),
		T(a_storm_of_resets),
		T(paused_while_it_waits),
		T(resets_that_are_no_storm),
		T(a_reset_that_fails_ends_it),
		T(no_reboot_ends_it),
		T(each_event_has_its_end),
		T(the_gravest_wins),
		T(news_is_taken),
		T(late_news),
		T(paused_by_its_owner),
		T(asked_while_it_was_paused),
		T(time_that_is_not_told),
		T(buttons_and_the_watchdog),
		T(several_tell_at_once),
	};

	return cmocka_run_group_tests_name("machine", tests, NULL, NULL);
}
