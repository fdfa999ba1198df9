/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `sluice mem` and `sluice map` as a person runs them, against the real control socket of a fake
 * machine whose guest follows requests 64 MiB at a time. The machine's loop has a thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/virtio_balloon.h>
#include <time.h>

#include "board/cli/client.h"
#include "board/cli/client-command.h"
#include "board/cli/commandline.h"
#include "board/control/control.h"
#include "board/text/errors.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"
#include "tests/unit/helpers/fake-machine.h"

/* A user's, whose sockets are in a folder of the test's. */
uid_t geteuid(void)
{
	return 1000;
}

static char folder[64], path[128], output[512 * KiB];
static struct loop *loop;
static struct control *control;
static pthread_t thread;
static _Atomic bool stalled;	 /* the guest does nothing more */
static _Atomic uint64_t meddled; /* somebody else's request */
static _Atomic uint64_t inflation_step;
static _Atomic bool deflated; /* somebody else wants nothing in the balloon, once the command waits: before, it asks twice */
static _Atomic uint64_t grown; /* what is asked of vmem1 once the balloon has its request */

static _Atomic bool heeds_button, heeds_quit;

static void guest_turn(struct loop_timer *timer)
{
	if ((heeds_button && fake_buttons) || (heeds_quit && fake_quits)) {
		control_destroy(control);
		control = NULL;
		heeds_button = heeds_quit = false;
	}
	if (deflated && fake_balloon_queries >= 3)
		fake_balloon_requested = 0;
	if (grown && fake_balloon_requested)
		fake_vmem[1].info.requested_bytes = grown;
	for (int i = 0; i < 2; i++) {
		struct device_memory *info = &fake_vmem[i].info;
		uint64_t now = info->plugged_bytes, step = 64 * MiB;

		if (stalled || now == info->requested_bytes)
			continue;
		if (meddled)
			info->requested_bytes = meddled;
		fake_machine_plug(i, now < info->requested_bytes ? now + step : now - step);
	}
	if (!stalled && fake_balloon_actual < fake_balloon_requested)
		fake_balloon_change(fake_balloon_actual + inflation_step);
	loop_timer_arm(loop, timer, 20);
}

static void *run_loop(void *unused)
{
	static struct loop_timer timer = { .fired = guest_turn };
	sigset_t interrupts;

	/* They are for the command, in the main thread. */
	sigemptyset(&interrupts);
	sigaddset(&interrupts, SIGINT);
	pthread_sigmask(SIG_BLOCK, &interrupts, NULL);
	loop_timer_arm(loop, &timer, 20);
	loop_run(loop);
	loop_timer_cancel(&timer);
	return NULL;
}

static int open_bench(void **state)
{
	struct errors errors = { 0 };

	fake_machine_init();
	stalled = heeds_button = heeds_quit = false;
	meddled = 0;
	grown = 0;
	deflated = false;
	inflation_step = 32 * MiB;
	strcpy(folder, "/tmp/test-client-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/m.sock", folder);
	assert_int_equal(loop_create(&loop), 0);
	assert_int_equal(control_create(path, loop, &errors, &control), 0);
	control_set_machine(control, fake_machine);
	return pthread_create(&thread, NULL, run_loop, NULL);
}

static int close_bench(void **state)
{
	loop_stop(loop);
	pthread_join(thread, NULL);
	control_destroy(control);
	loop_destroy(loop);
	return rmdir(folder);
}

static const struct client_command *command_named(const char *name)
{
	static const struct {
		const char *name;
		const struct client_command *command;
	} commands[] = {
		{ "balloon", &balloon_command },
		{ "map", &map_command },
		{ "mem", &mem_command },
		{ "pause", &pause_command },
		{ "reset", &reset_command },
		{ "resize", &resize_command },
		{ "resume", &resume_command },
		{ "slots", &slots_command },
		{ "stop", &stop_command },
	};

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i].name, name))
			return commands[i].command;
	abort();
}

/* Runs a command line, parted by spaces ('@' is the socket); what it printed goes to `output`. */
static int run(const char *line)
{
	char copy[512], *rest = copy, *argv[10];
	int argc = 0, saved[2] = { dup(1), dup(2) }, result;
	FILE *file = tmpfile();
	size_t n;

	snprintf(copy, sizeof(copy), "%s", line);
	while (argc < 9 && (argv[argc] = strsep(&rest, " "))) {
		if (argv[argc][0] == '@') {
			char *full = alloca(256);

			snprintf(full, 256, "%s%s", path, argv[argc] + 1);
			argv[argc] = full;
		}
		argc++;
	}
	argv[argc] = NULL;
	fflush(stdout);
	dup2(fileno(file), 1);
	dup2(fileno(file), 2);
	result = client_command_run(command_named(argv[0]), argc, argv);
	fflush(stdout);
	dup2(saved[0], 1);
	dup2(saved[1], 2);
	close(saved[0]);
	close(saved[1]);
	rewind(file);
	n = fread(output, 1, sizeof(output) - 1, file);
	output[n] = '\0';
	fclose(file);
	return result;
}

static void assert_run(const char *line, int result, const char *text)
{
	int got = run(line);

	if (got != result || !strstr(output, text))
		fail_msg("'%s' gave %d, not %d with '%s':\n%s", line, got, result, text, output);
}

static void shows_devices(void **state)
{
	assert_run("mem @", 0, "device  requested  plugged  usable  window  block\n");
	assert_non_null(strstr(output, "\nvmem1           0        0   1 GiB   1 GiB  2 MiB\n"));
	assert_run("mem --control @", 0, "\nvmem0 ");
	assert_null(strstr(output, "merged"));
	fake_growth.mergeable = true;
	fake_host_memory.merged = 12 * MiB;
	assert_run("mem @", 0, "\nequal pages that the host merged: 12 MiB\n");
	assert_run("mem @/vmem9", 1, "no such device; the machine has: vmem0, vmem1");
}

static void sets_and_waits(void **state)
{
	assert_run("mem @/vmem1 512MiB", 0, "vmem1: 512 MiB plugged (0 before)");
	assert_non_null(strstr(output, "MiB plugged, 512 MiB requested\n"));
	assert_int_equal(fake_vmem[1].info.plugged_bytes, 512 * MiB);
	assert_int_equal(fake_vmem[0].info.requested_bytes, 0);
	assert_run("mem --control @ /vmem1 0", 0, "vmem1: 0 plugged (512 MiB before)");
	assert_run("mem @/vmem1 0", 0, "vmem1: 0 plugged (0 before)");
	stalled = true;
	assert_run("mem @/vmem0 1GiB --timeout 0", 0, "vmem0: 1 GiB requested, 0 plugged");
	assert_int_equal(fake_vmem[0].info.requested_bytes, GiB);
}

static void refuses_with_what_would_do(void **state)
{
	assert_run("mem @ 1GiB", 1,
		"several devices: say which, as NAME/NODE; the machine has: vmem0, vmem1");
	assert_run("mem @/vmem0 5M", 1, "the nearest are 4 MiB and 6 MiB");
	assert_run("mem @/vmem0 2GiB", 1, "2 GiB is more than its window holds, 1 GiB");
	assert_run("mem @/vmem0 1GB", 2, "is no size");
	assert_run("mem", 2, "sluice mem: which machine? NAME, or --control PATH\n`sluice mem --help` says what there is.\n");
	assert_null(strstr(output, "Usage:"));
	assert_run("mem @ 1G 2G", 2, "sluice mem: nothing can follow here, as 2G does\n");
	assert_run("mem @ 1G --timeout -1", 2, "sluice mem: --timeout -1: not a number of seconds\n");
	assert_run("mem @ 1G --timeout", 2, "sluice mem: --timeout needs a value\n");
	assert_run("mem @ -x", 2, "sluice mem: there is no option -x\n");
	assert_run("map", 2, "sluice map: which machine?");
	assert_run("map --colour @", 2, "sluice map: there is no option --colour\n");
	assert_run("map --timeout 1 @", 2, "sluice map: there is no option --timeout\n");
	assert_run("mem --control @ other 1G", 2, "sluice mem: nothing can follow here, as 1G does\n");
	assert_run("map --control @ other", 1, "--control already");
	assert_run("map @x.sock", 1, "no machine runs there");
	assert_run("mem /nonexistent/x.sock", 1, "no machine runs there");
	assert_int_equal(fake_vmem[0].info.requested_bytes, 0);
}

static void stall_is_reported(void **state)
{
	stalled = true;
	assert_run("mem @/vmem0 1GiB --timeout 1", 1,
		"nothing moved for 1 s: 0 plugged, 1 GiB requested. The request stands.");
	assert_non_null(strstr(output, "memhp_default_state=online_movable"));
	assert_int_equal(fake_vmem[0].info.requested_bytes, GiB);
}

/* What boot memory does not carry is refused, with what would do, unless it is insisted on. */
static void growth_stops_at_boot_memory(void **state)
{
	fake_growth.carried_bytes = 640 * MiB;
	assert_run("mem @/vmem0 512MiB", 0, "vmem0: 512 MiB plugged");
	assert_run("mem @/vmem1 256MiB", 1,
		"Other windows have of it what they have: 128 MiB is the most");
	assert_non_null(strstr(output, "with 256 MiB the guest's kernel would run out of memory"));
	assert_non_null(strstr(output, "--force asks for it all the same"));
	assert_int_equal(fake_vmem[1].info.requested_bytes, 0);
	assert_run("mem @/vmem1 128MiB", 0, "vmem1: 128 MiB plugged");
	assert_run("mem @/vmem0 1GiB --force", 0, "vmem0: 1 GiB plugged");
	/* The way back is open from anywhere. */
	assert_run("mem @/vmem0 768MiB", 0, "vmem0: 768 MiB plugged (1 GiB before)");
	assert_run("mem @/vmem0 832MiB", 1, "512 MiB is the most");
	assert_run("balloon @ 64MiB --force", 2, "--force");
	assert_run("map @ --force", 2, "--force");
}

static void what_the_host_has_not_is_reported(void **state)
{
	fake_host_memory.available = 512 * MiB;
	assert_run("mem @/vmem0 1GiB", 0,
		"warning: vmem0: the machine may come to use 1.25 GiB more, "
		"and the host has 512 MiB left");
	assert_run("mem @/vmem0 0", 0, "vmem0: 0 plugged");
	assert_null(strstr(output, "warning"));
	/* Before it is asked for. */
	fake_request_error = -EINVAL;
	assert_run("mem @/vmem0 1GiB", 1, "warning: vmem0: the machine may come to use 1.25 GiB more, ");
	fake_request_error = 0;
	fake_host_memory.resident = 256 * MiB;
	fake_host_memory.limit = 300 * MiB;
	fake_host_memory.room = 44 * MiB;
	assert_run("mem @/vmem0 128MiB", 0,
		"use 128 MiB more, and its memory cgroup has room for 44 MiB "
		"below its limit of 300 MiB (memory.max)");
}

static void stalls_are_explained(void **state)
{
	stalled = true;
	fake_growth.page_bytes = 64 * KiB;
	assert_run("mem @/vmem0 256MiB --timeout 1", 1,
		"such a Linux takes memory and gives it back in steps of 512 MiB");
	fake_vmem[0].info.plugged_bytes = 256 * MiB;
	assert_run("mem @/vmem0 128MiB --timeout 1", 1, "gives it back in steps of 512 MiB");
	fake_growth.carried_bytes = 512 * MiB;
	fake_vmem[0].info.plugged_bytes = 480 * MiB;
	assert_run("mem @/vmem0 1GiB --force --timeout 1", 1,
		"the guest's boot memory, 256 MiB, is used up by the page array");
}

/* The machine knows why, so the guest is not blamed; and `mem` reports it without a request, too. */
static void the_host_s_refusal_is_reported(void **state)
{
	stalled = true;
	fake_vmem[0].info.refused = "the pool is empty";
	assert_run("mem @/vmem0 1GiB --timeout 1", 1,
		"The request stands. Why: this host did not do what the guest asked for: the pool is empty");
	assert_null(strstr(output, "memhp_default_state"));
	assert_null(strstr(output, "booting"));
	assert_run("mem @", 0, "vmem0: this host did not do what the guest asked for last: the pool is empty\n");
	assert_null(strstr(output, "vmem1: this"));
}

static void other_request_is_reported(void **state)
{
	meddled = 128 * MiB;
	assert_run("mem @/vmem0 1GiB", 1, "somebody else has asked for 128 MiB meanwhile");
}

/* As soon as the command heeds it. */
static void *interrupt_waiting(void *main_thread)
{
	struct sigaction now = { .sa_handler = SIG_DFL };

	for (unsigned ms = 0; ms < 60000 && now.sa_handler == SIG_DFL; ms++) {
		usleep(1000);
		sigaction(SIGINT, NULL, &now);
	}
	if (now.sa_handler != SIG_DFL)
		pthread_kill(*(pthread_t *)main_thread, SIGINT);
	return NULL;
}

static void assert_interrupted(const char *line, const char *text)
{
	pthread_t other, self = pthread_self();

	signal(SIGINT, SIG_DFL);
	pthread_create(&other, NULL, interrupt_waiting, &self);
	assert_run(line, 130, text);
	pthread_join(other, NULL);
}

static void interrupt_leaves_the_request(void **state)
{
	stalled = true;
	assert_interrupted("mem @/vmem0 1GiB", "vmem0: 0 plugged; the request of 1 GiB stands");
	assert_interrupted("balloon @ 64MiB", "256 MiB left to the guest; the request of 64 MiB stands");
	assert_int_equal(fake_balloon_requested, 192 * MiB);
	assert_int_equal(fake_vmem[0].info.requested_bytes, GiB);
}

static void map_shows_slots(void **state)
{
	fake_vmem[0].info.plugged_bytes = fake_vmem[0].info.requested_bytes = 162 * MiB;
	assert_run("map @/vmem0", 0, "2 of 8 slots open; exposed = plugged = 162 MiB\n");
	assert_non_null(strstr(output, "0x100000000-0x13fffffff, 1 GiB\n"));
	assert_non_null(strstr(output, "slots      8 x 128 MiB\n"));
	assert_non_null(strstr(output, "   2  0x110000000-0x117ffffff  0x10000000-0x17ffffff  34 "
				       "MiB of 128 MiB   [########+.......................]\n"));
	assert_null(strstr(output, "vmem1"));
	fake_exposed = GiB;
	fake_strays.count[STRAY_LOAD][STRAY_SLOT] = 3;
	assert_run("map @", 1, "\nstray accesses: 3\n  3 of kind load, closed slot\n");
	fake_strays.count[STRAY_LOAD][STRAY_SLOT] = 0;
	assert_run("map @", 1, "EXPOSED IS NOT PLUGGED\n  The guest can reach 862 MiB more");
	fake_slots = 8 + 2000;
	assert_run("map @", 1, "  1490 more are open: too many to describe\n\n  2002 of 2008 slots open; ");
	fake_slots = 8;
	fake_exposed = 2 * MiB; /* in the middle of an unplug */
	assert_run("map @/vmem0", 0, "exposed = 2 MiB of 162 MiB plugged: the rest is being unplugged, or");
	assert_run("map @/vmem9", 1, "vmem9: no virtio-mem device of that name");
	fake_map_unreadable = true;
	assert_run("map @", 1, "cannot be read");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_bench, close_bench)

static void slots_show_who_holds_them(void **state)
{
	assert_run("slots @", 0, "holder  reserved  open\n");
	assert_run("slots @", 0,
		"vmem1          8     2\nin all        17     5\n\nKVM can hold 32767; vhost-net "
		"can hold 64; 47 are free\n");
	assert_run("slots @/vmem0", 1, "leave out /vmem0");
	assert_run("slots", 2, "sluice slots: which machine?");
	assert_run("slots -h", 0, "Usage: sluice slots");
	assert_run("slots --help", 0, "Usage: sluice slots");
}

/* What moves is waited for, though all of it takes longer than a stall may. */
static void a_balloon_inflates_slowly(void **state)
{
	inflation_step = MiB / 2; /* each 20 ms */
	assert_run("balloon @ 64MiB --timeout 5", 0, "64 MiB left to the guest (256 MiB before), ");
}

/* What the machine gets meanwhile comes on top of what its balloon leaves. */
static void a_balloon_inflates_beside_a_window(void **state)
{
	inflation_step = 8 * MiB;
	grown = 128 * MiB;
	assert_run("balloon @ 64MiB --timeout 5", 0, "192 MiB left to the guest (256 MiB before), ");
}

/* It is somebody else's request that ends the waiting. */
static void another_balloon_request_is_reported(void **state)
{
	inflation_step = 2 * MiB;
	deflated = true;
	assert_run("balloon @ 64MiB --timeout 1", 1, "somebody else has asked for 256 MiB meanwhile");
}

static void balloon(void **state)
{
	assert_run("balloon @", 0,
		" memory  requested     left  given back\n256 MiB    256 MiB  256 MiB           "
		"0\n");
	assert_null(strstr(output, "the guest said"));
	fake_balloon_given = 3 * MiB;
	fake_statistics.updated_sec = (uint64_t)time(NULL) - 7;
	fake_statistics.value[VIRTIO_BALLOON_S_AVAIL] = 100 * MiB;
	fake_statistics.value[VIRTIO_BALLOON_S_MEMTOT] = 2 * GiB;
	assert_run("balloon @", 0, " 3 MiB\n\nthe guest said, ");
	assert_non_null(strstr(output, " s ago: total 2 GiB, available 100 MiB\n"));
	assert_run("balloon @ 64MiB", 0, "64 MiB left to the guest (256 MiB before), ");
	assert_run("balloon --control @", 0, "\n256 MiB     64 MiB  64 MiB       3 MiB\n");
	stalled = true;
	assert_run("balloon @ 32MiB --timeout 1", 1,
		"nothing moved for 1 s: 64 MiB left, 32 MiB requested");
	assert_run("balloon @ 32MiB --timeout 0", 0, "64 MiB left to the guest");
	assert_run("balloon @/vmem0 1MiB", 1, "leave out /vmem0");
	assert_run("balloon @ much", 2, "is no size");
	assert_run("balloon @ 0", 1, "expects a size");
	assert_run("balloon", 2, "sluice balloon: which machine?");
	assert_run("balloon -h", 0, "Usage: sluice balloon");
	fake_no_balloon = true;
	assert_run("balloon @", 1, "No balloon device has been activated: the tree of this machine has no sluice,virtio-balloon node");
}

static void resize(void **state)
{
	assert_run("resize @ disk0 3GiB", 0, "disk0: 3 GiB (1 GiB before)\n");
	assert_run("resize @ disk0", 0, "disk0: 3073 MiB (3 GiB before)\n");
	assert_run("resize @/disk0 4GiB", 0, "disk0: 4 GiB (3073 MiB before)\n");
	assert_run("resize --control @ disk0 5GiB", 0, "disk0: 5 GiB (4 GiB before)\n");
	assert_run("resize @ disk0 1GiB", 1, "root.img does not shrink");
	assert_run("resize @ disk1 1GiB", 1, "Device 'disk1' not found");
	assert_run("resize @ disk0 0", 1, "expects a size");
	assert_run("resize @ disk0 large", 2, "is no size");
	assert_run("resize @", 2, "sluice resize: which DISK?");
	assert_run("resize @/disk0 1GiB 2GiB", 2, "nothing can follow here, as 2GiB does");
	assert_run("resize @ disk0 1GiB 2GiB", 2, "nothing can follow here, as 2GiB does");
}

/* ---- The front panel ---- */

static void stops(void **state)
{
	heeds_button = true;
	assert_run("stop @", 0, "");
	assert_int_equal(fake_buttons, 1);
	assert_int_equal(fake_quits, 0);
	assert_string_equal(output, "");
	assert_run("stop @", 1, "no machine runs there");
}

static void stops_what_does_not_heed(void **state)
{
	assert_run("stop @ --timeout 0", 0, "");
	assert_int_equal(fake_buttons, 1);
	heeds_quit = true;
	assert_run("stop @ --timeout 1", 124,
		"the guest did not power off in 1 s, and the machine was ended\n");
	assert_int_equal(fake_buttons, 2);
	assert_int_equal(fake_quits, 1);
}

static void stops_at_once(void **state)
{
	heeds_quit = true;
	assert_run("stop --now @", 0, "");
	assert_int_equal(fake_buttons, 0);
	assert_string_equal(output, "");
}

static void stop_is_interrupted(void **state)
{
	assert_interrupted("stop @", "its power button was pressed; the machine goes on");
	assert_int_equal(fake_quits, 0);
	assert_interrupted("stop @ --now", "the machine was told to quit");
	assert_int_equal(fake_quits, 1);
}

/* A socket of a program that hangs up. */
static void *hang_up(void *listener)
{
	for (unsigned i = 0; i < 2; i++)
		close(accept(*(int *)listener, NULL, NULL));
	return NULL;
}

/* Of the usual folder: a machine, and a socket where nobody listens. */
static void list(void **state)
{
	char line[] = "list", *argv[] = { line, NULL }, own[160], place[80], *more[] = { line, line, NULL };
	int saved = dup(1), fds[2], code;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pthread_t other;
	ssize_t len;

	setenv("XDG_RUNTIME_DIR", folder, 1);
	snprintf(place, sizeof(place), "%s/sluice", folder);
	assert_int_equal(mkdir(place, 0700), 0);
	snprintf(own, sizeof(own), "%s/gateway.sock", place);
	assert_int_equal(symlink(path, own), 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/other.sock", place);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(pipe(fds), 0);
	fake_vmem[0].info.plugged_bytes = fake_vmem[0].info.requested_bytes = 512 * MiB;
	fflush(stdout);
	dup2(fds[1], 1);
	optind = 0;
	code = list_command(1, argv);
	fflush(stdout);
	dup2(saved, 1);
	close(fds[1]);
	len = read(fds[0], output, sizeof(output) - 1);
	assert_true(len > 0);
	output[len] = '\0';
	close(fds[0]);
	close(saved);
	assert_int_equal(code, 0);
	assert_string_equal(output, "machine  state     memory   at most\n"
				    "gateway  running  768 MiB  2.25 GiB\n");
	optind = 0;
	assert_int_equal(list_command(2, more), 2);
	/* What answers, and not as a machine does: it is listed, and has failed. */
	assert_int_equal(listen(listener, 2), 0);
	pthread_create(&other, NULL, hang_up, &listener);
	optind = 0;
	assert_int_equal(list_command(1, argv), 1);
	pthread_join(other, NULL);
	/* Nobody knows where they would be. */
	unsetenv("XDG_RUNTIME_DIR");
	optind = 0;
	assert_int_equal(list_command(1, argv), 1);
	close(listener);
	assert_int_equal(unlink(own) | unlink(address.sun_path) | rmdir(place), 0);
}

static void panel(void **state)
{
	assert_run("reset @", 0, "");
	assert_int_equal(fake_resets, 1);
	assert_run("pause @", 0, "");
	assert_int_equal(fake_state, MACHINE_PAUSED);
	assert_run("stop @", 1, "the machine is paused, so its guest cannot power off");
	assert_int_equal(fake_buttons, 0);
	assert_run("resume @", 0, "");
	assert_int_equal(fake_state, MACHINE_RUNNING);
	assert_run("reset @/vmem0", 1, "the whole machine is meant");
	assert_run("pause @ now", 2, "nothing can follow here");
	assert_run("pause @ --now", 2, "there is no option --now");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(shows_devices),
		TEST(sets_and_waits),
		TEST(refuses_with_what_would_do),
		TEST(stall_is_reported),
		TEST(growth_stops_at_boot_memory),
		TEST(what_the_host_has_not_is_reported),
		TEST(stalls_are_explained),
		TEST(the_host_s_refusal_is_reported),
		TEST(other_request_is_reported),
		TEST(interrupt_leaves_the_request),
		TEST(balloon),
		TEST(resize),
		TEST(a_balloon_inflates_slowly),
		TEST(a_balloon_inflates_beside_a_window),
		TEST(another_balloon_request_is_reported),
		TEST(map_shows_slots),
		TEST(stops),
		TEST(stops_what_does_not_heed),
		TEST(stops_at_once),
		TEST(stop_is_interrupted),
		TEST(panel),
		TEST(list),
		TEST(slots_show_who_holds_them),
	};

	return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
