/* SPDX-License-Identifier: Apache-2.0 */
/* A machine's parts, KVM and the machine on them; see machine-bench.h. */
#include "tests/unit/helpers/machine-bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "board/boot/guest-tree.h"
#include "board/boot/loader.h"
#include "devices/arm/pl061.h"
#include "hyp/base/log.h"
#include "hyp/base/util.h"
#include "hyp/memory/listener.h"
#include "tests/unit/helpers/unit.h"

char trace[4096];
unsigned calls, fail_at;

static void note(const char *what)
{
	strcat(strcat(trace, *trace ? " " : ""), what);
}

static int called(const char *what)
{
	note(what);
	return ++calls == fail_at ? -ENOMEM : 0;
}

void assert_called(const char *expected)
{
	assert_string_equal(trace, expected);
	*trace = '\0';
}

/* ---- Parts ---- */

struct machine *machine;
int vm_fd;
uint8_t *ram;
void (*report)(void *opaque, enum vcpus_event event, const char *text);

static void drain(struct device *which)
{
	note("drain");
}

static void quiesce(struct device *which)
{
	note("quiesce");
}

static void reset(struct device *which)
{
	note("reset");
}

struct turns turns;

static bool takes_a_turn(unsigned *turns_left, const char *what)
{
	if (!*turns_left || *turns_left == FOREVER)
		return *turns_left;
	--*turns_left;
	note(what);
	return true;
}

static bool busy(struct device *which)
{
	return takes_a_turn(&turns.busy, "busy");
}

static void pause_device(struct device *which, bool paused)
{
	note(paused ? "pause" : "unpause");
}

static const struct device_class class = {
	.drain = drain, .busy = busy, .quiesce = quiesce, .reset = reset, .pause = pause_device
};
struct device device = { .class = &class, .id = "device0" };
static char window; /* nothing reads it */

uint8_t *stolen_time;
struct memory_slot last_slot;

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
	struct errors *reported)
{
	int err = called("parts");

	if (err)
		return err;
	machine = of;
	report = on_event;
	of->vcpus = (struct vcpus *)&window;
	of->ram[0] = (struct backing){ .hva = ram, .size = RAM_BYTES, .fd = RAM_FD };
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
	struct machine *of, void (*call)(struct machine *made, struct machine_device *its))
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
int time_error;

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

int vm_create(struct vm *vm, int kvm, unsigned ipa_bits)
{
	vm->fd = VM_FD;
	return called("vm");
}

void vm_adopt(struct vm *vm, int kvm, int fd)
{
	note("adopted");
	vm->fd = VM_FD;
	assert_int_equal(fd, vm_fd);
}

void vm_destroy(struct vm *vm)
{
	note("no-vm");
	vm->fd = -1;
}

int vm_add_doorbells(struct vm *vm, const struct mmio_bus *bus)
{
	return called("doorbells");
}

struct gic_layout gic;

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

int kvm_fd;

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

unsigned clock_step_ms;
uint64_t clock_ms;

uint64_t __real_loop_now_ms(void);
uint64_t __wrap_loop_now_ms(void);
uint64_t __wrap_loop_now_ms(void)
{
	return clock_step_ms ? clock_ms += clock_step_ms : __real_loop_now_ms();
}

bool __wrap_window_empty(struct window *of, uint64_t until_ms);
bool __wrap_window_empty(struct window *of, uint64_t until_ms)
{
	assert_true(until_ms <= __real_loop_now_ms() + LOOP_TURN_MS);
	return !takes_a_turn(&turns.empty, "emptying");
}

void __wrap_window_stop(struct window *of);
void __wrap_window_stop(struct window *of)
{
	note("stop-window");
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

unsigned pressed;
void __wrap_pl061_pulse(struct device *gpio, unsigned line);
void __wrap_pl061_pulse(struct device *gpio, unsigned line)
{
	pressed++;
}

void (*bites)(struct device *which, enum watchdog_action action, void *opaque);
static void watch(struct device *watchdog,
	void (*bite)(struct device *which, enum watchdog_action action, void *opaque), void *opaque)
{
	assert_ptr_equal(opaque, machine);
	bites = bite;
}

const struct device_class watchdog_class = {
	.drain = drain, .quiesce = quiesce, .reset = reset, .pause = pause_device, .watchdog = watch
};

int loader_open(
	const struct machine_config *described, struct errors *reported, struct loader **ret)
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

uint64_t load_until_ms;

int loader_load(struct loader *loader, const struct guestmem *mem, uint64_t until_ms,
	struct errors *reported, struct loader_result *ret)
{
	load_until_ms = until_ms;
	if (takes_a_turn(&turns.load, "loading"))
		return 1;
	for (unsigned i = 0; i < RAM_BYTES; i++)
		assert_int_equal(ram[i], 0); /* of the last life */
	memset(ret, 0, sizeof(*ret));
	ret->entry_gpa = RAM_GPA + 0x200;
	ret->tree_gpa = RAM_GPA + 0x1000;
	ret->initrd = (struct range){ RAM_GPA + 0x8000, 0x123 };
	return called("load");
}

uint8_t seeds[2][72];

int guest_tree_build(const struct machine_config *described, const struct guest_tree_input *input,
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
	const struct machine_config *described, const void *tree, struct errors *reported)
{
	assert_string_equal(tree, "tree");
	warning_add(reported, "/aliases", "mem", "lost");
}

bool interrupts;
unsigned randoms;

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

struct loop *loop;
char noticed[1024];
struct errors errors;
struct machine_config *config;

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

void assert_noticed(const char *expected)
{
	assert_string_equal(noticed, expected);
	*noticed = '\0';
}

void no_log(enum log_level level, const char *line)
{
}

int create(bool no_reboot)
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

void start(bool no_reboot)
{
	assert_int_equal(create(no_reboot), 0);
	assert_int_equal(machine_start(machine), 0);
	*trace = '\0';
}

int set_up(void **state)
{
	log_set_sink(no_log);
	config = calloc(1, sizeof(*config));
	config->cpu_count = 1;
	config->memory[0] = (struct range){ RAM_GPA, RAM_BYTES };
	config->memory_count = config->device_count = 1;
	config->file = (char *)"test.dts";
	ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	device.class = &class;
	fail_at = pressed = clock_step_ms = 0;
	turns = (struct turns){ 0 };
	return loop_create(&loop);
}

int tear_down(void **state)
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

void serve(void)
{
	serve_turns(8);
}

void serve_turns(unsigned most)
{
	for (unsigned i = 0; i < most; i++) {
		struct loop_task last = { .run = stop_loop };

		loop_post(loop, &last);
		assert_int_equal(loop_run(loop), 0);
		loop_task_cancel(loop, &last);
	}
}
