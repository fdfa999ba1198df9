/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `sluice run`: reads the description, builds the machine, and serves it until it ends. Signals
 * come through a descriptor, so that they are handled on the loop like everything else.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "board/cli/commandline.h"
#include "board/config/config.h"
#include "board/config/growth.h"
#include "board/config/tree-file.h"
#include "board/console/console.h"
#include "board/control/control.h"
#include "board/host/host-fault.h"
#include "board/host/limits.h"
#include "board/host/log-stderr.h"
#include "board/host/socket.h"
#include "board/machine/machine.h"
#include "board/machine/ports.h"
#include "board/text/errors.h"
#include "board/text/exit-codes.h"
#include "devices/device.h"
#include "hyp/base/log.h"
#include "hyp/base/loop.h"
#include "hyp/base/program.h"
#include "hyp/base/util.h"
#include "hyp/memory/addrspace.h"

#define SHUTDOWN_TIMEOUT_SEC 30
#define SETTLED_MS	     10000

struct run_options {
	struct tree_source source;
	const char *name, *control;
	struct console_spec console; /* where has_console */
	bool has_console, no_reboot, dump;
	unsigned shutdown_timeout_sec, timeout_sec;
};

struct run {
	struct run_options options;
	char *name;
	struct loop *loop;
	const char *stdio_port; /* the one that is on this terminal; NULL: none */
	struct machine *machine;
	struct control *control;
	struct loop_fd signals;
	struct loop_timer shutdown_deadline, deadline, settled;
	bool shutting_down, timed_out;
};

static int option_console(const char *command, const struct option_row *row, const char *value)
{
	struct run_options *options = row->into;
	char *path = NULL;

	free((char *)options->console.path.name);
	options->console.path.name = NULL;
	options->has_console = console_spec_read(value, &options->console, &path);
	options->console.path.name = path;
	return options->has_console
		       ? 0
		       : misused(command, "--console %s: none of " CONSOLE_SPECS, value);
}

/* Returns -1 to continue, or the exit code. */
static int parse_options(int argc, char **argv, struct run_options *ret)
{
	const struct option_row rows[] = {
		OVERLAY_ROW(&ret->source),
		ALLOW_ROW(&ret->source),
		VERIFY_ROW(&ret->source),
		KEY_ROW(&ret->source),
		{ "name", "NAME", "the machine's name (default: FILE without its ending)",
			option_text, &ret->name },
		{ "control", "PATH", "the control socket's path (default: by the name)",
			option_text, &ret->control },
		{ "console", "BACKEND",
			"stdio (default), pty, null, file:PATH[,size=SIZE] or socket:PATH; to any of these\n"
			"sluice console NAME attaches",
			option_console, ret },
		{ "dump-guest-core", NULL,
			"have the guest's memory in core files of this process, too", option_flag,
			&ret->dump },
		{ "no-reboot", NULL, "end where the guest asks for a reset", option_flag,
			&ret->no_reboot },
		{ "shutdown-timeout", "SEC",
			"after SIGTERM, how long the guest may take (default: 30)", option_seconds,
			&ret->shutdown_timeout_sec },
		{ "timeout", "SEC", "end the machine after this time", option_seconds,
			&ret->timeout_sec },
		{ 0 },
	};

	*ret = (struct run_options){ .shutdown_timeout_sec = SHUTDOWN_TIMEOUT_SEC };
	return options_read_file(argc, argv,
		"Runs the machine that FILE (.dts, .dtb, FIT image, PE bundle) describes. Its console is the terminal:\n"
		"Ctrl-A x leaves, Ctrl-A h shows more.",
		rows, &ret->source);
}

/* --- ending --- */

static void end_late(struct run *run, const char *why)
{
	log_print(LOG_ERROR, "%s: ended", why);
	run->timed_out = true;
	machine_quit(run->machine, "host-signal");
}

static void press(struct run *run, const char *what_follows)
{
	log_print(LOG_INFO,
		"power button pressed: the guest is to power off%s. One that still boots may not hear it",
		what_follows);
	machine_power_button(run->machine);
}

/* The first request presses the power button; the second ends the machine. */
static void shut_down(struct run *run)
{
	if (run->shutting_down) {
		end_late(run, "asked to end again");
		return;
	}
	run->shutting_down = true;
	/* No vCPU runs that could see the button. */
	if (machine_state(run->machine) == MACHINE_PAUSED ||
		machine_resets_too_often(run->machine)) {
		end_late(run, machine_state(run->machine) == MACHINE_PAUSED
				      ? "the machine is paused"
				      : "the guest does nothing but reset its machine");
		return;
	}
	press(run, " within --shutdown-timeout; a second signal ends it now");
	loop_timer_arm(run->loop, &run->shutdown_deadline,
		run->options.shutdown_timeout_sec * UINT64_C(1000));
}

static const char *find_stdio_port(const struct machine_config *config)
{
	for (size_t i = 0; i < config->device_count; i++)
		for (size_t n = 0; n < config->devices[i].port_count; n++)
			if (config->devices[i].ports[n].backend.kind == CONSOLE_STDIO)
				return config->devices[i].ports[n].name;
	return NULL;
}

/* Reports the terminal's size to the guest, if a port is on this terminal. */
static void report_size(struct run *run)
{
	struct winsize size;

	if (!run->machine || !run->stdio_port || ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0)
		return;
	for (size_t i = 0; i < machine_device_count(run->machine); i++) {
		struct device *device = machine_device(run->machine, i);

		if (device->class->ports)
			device->class->ports->set_size(
				device, run->stdio_port, size.ws_col, size.ws_row);
	}
}

static void on_signal(struct loop_fd *watch, uint32_t events)
{
	struct run *run = container_of(watch, struct run, signals);
	struct signalfd_siginfo info;

	if (read(watch->fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo == SIGWINCH)
		report_size(run);
	else
		shut_down(run);
}

static void on_shutdown_deadline(struct loop_timer *timer)
{
	end_late(container_of(timer, struct run, shutdown_deadline),
		"the guest did not power off within --shutdown-timeout");
}

static void on_deadline(struct loop_timer *timer)
{
	end_late(container_of(timer, struct run, deadline), "the time of --timeout is over");
}

/* Most guests have booted by now. Most of the program's code is used only until then. */
static void on_settled(struct loop_timer *timer)
{
	program_forget_code();
}

static void on_leave(void *opaque)
{
	struct run *run = opaque;

	machine_quit(run->machine, "host-ui");
}

static void on_power_button(void *opaque)
{
	press(opaque, "");
}

static void on_notice(void *opaque, enum machine_notice notice, const char *reason)
{
	struct run *run = opaque;

	control_notify(run->control, notice, reason);
}

static int watch_signals(struct run *run)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGWINCH };
	struct sigaction old;
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		/* nohup, and shells for background jobs, start us with some signals ignored: these stay ignored. */
		sigaction(signals[i], NULL, &old);
		if (old.sa_handler != SIG_IGN)
			sigaddset(&set, signals[i]);
	}
	sigprocmask(SIG_BLOCK, &set, NULL);
	run->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (run->signals.fd < 0)
		return -errno;
	run->signals.events = EPOLLIN;
	run->signals.first = true;
	run->signals.name = "signals";
	run->signals.ready = on_signal;
	return loop_fd_add(run->loop, &run->signals);
}

/* --- the whole --- */

/* Refuses a second machine of the same name: both would have the same socket and the same identity. */
static int create_control(struct run *run, struct errors *errors)
{
	char *path = run->options.control ? strdup(run->options.control)
					  : control_path(run->name, true, errors);
	int err = path ? control_create(path, run->loop, errors, &run->control) : -EINVAL;

	free(path);
	return err;
}

/* Prints, before the guest runs, machine_create()'s warnings and those about memory that it cannot carry. */
static void warn(struct run *run, const struct machine_config *config, struct errors *warnings)
{
	struct machine_growth growth;

	machine_growth(run->machine, &growth);
	growth_check_start(config, &growth.policy, growth.page_bytes, warnings);
	errors_print(warnings, stderr);
	errors_finish(warnings);
}

static int serve(struct run *run, const struct host_limits *host, struct machine_config *config,
	struct errors *errors)
{
	struct machine_options options = {
		.no_reboot = run->options.no_reboot,
		.kvm = &host->kvm,
		.notify = on_notice,
		.opaque = run,
	};
	const struct console_callbacks callbacks = {
		.leave = on_leave,
		.power_button = on_power_button,
		.opaque = run,
	};
	const struct console_spec *spec = run->options.has_console ? &run->options.console
								   : &config->console;
	struct console *console = NULL;
	struct ports *ports = NULL;
	int err, code = EXIT_WRONG;

	/* Catch signals first: one during creation would leave the socket file behind. */
	err = watch_signals(run);
	if (err) {
		error_add(errors, "signals", NULL, "%s", strerror(-err));
		goto out;
	}
	err = create_control(run, errors);
	if (err)
		goto out;
	options.name = run->name;
	err = console_open(run->loop, spec, "console", &callbacks, control_place(run->control),
		errors, &console);
	if (!err)
		err = ports_create(run->loop, config, control_place(run->control),
			spec->kind == CONSOLE_STDIO, &callbacks, errors, &ports);
	if (err)
		goto out;
	options.console = console_chardev(console);
	options.ports = ports_chardevs(ports);
	options.vm_fd = host_take_vm(config->ipa_bits_needed);
	err = machine_create(config, &options, run->loop, errors, &run->machine);
	if (err)
		goto out;
	warn(run, config, errors);
	control_set_machine(run->control, run->machine);
	run->stdio_port = find_stdio_port(config);
	report_size(run);
	if (run->options.timeout_sec)
		loop_timer_arm(
			run->loop, &run->deadline, run->options.timeout_sec * UINT64_C(1000));
	machine_start(run->machine);
	loop_timer_arm(run->loop, &run->settled, SETTLED_MS);
	loop_run(run->loop);

	switch (machine_state(run->machine)) {
	case MACHINE_STOPPED:
		log_print(LOG_ERROR, "stopped: %s", machine_stop_reason(run->machine));
		code = EXIT_STOPPED;
		break;
	case MACHINE_FAILED:
		log_print(LOG_ERROR, "failed: %s", machine_stop_reason(run->machine));
		break;
	default:
		code = run->timed_out ? EXIT_TIMEOUT : EXIT_OK;
	}
out:
	loop_timer_cancel(&run->settled);
	loop_timer_cancel(&run->deadline);
	loop_timer_cancel(&run->shutdown_deadline);
	loop_fd_remove(&run->signals);
	control_destroy(run->control);
	machine_destroy(run->machine);
	ports_destroy(ports);
	console_destroy(console);
	if (run->signals.fd >= 0)
		close(run->signals.fd);
	return code;
}

int run_command(int argc, char **argv)
{
	struct run run = { .signals.fd = -1,
		.settled = { .fired = on_settled, .name = "settled" },
		.deadline = { .fired = on_deadline, .name = "--timeout" },
		.shutdown_deadline = {
			.fired = on_shutdown_deadline, .name = "--shutdown-timeout" } };
	struct machine_config *config = NULL;
	struct host_limits host;
	struct errors errors = { 0 };
	int err, code = parse_options(argc, argv, &run.options);

	if (code >= 0)
		return code;
	code = EXIT_WRONG;
	if (run.options.dump)
		addrspace_dump_guests();
	signal(SIGPIPE, SIG_IGN);
	log_to_stderr();
	signal(SIGCHLD,
		SIG_DFL); /* our parent may have ignored it, and waitpid() would then fail */
	host_fault_explain();
	run.name = run.options.name ? strdup(run.options.name)
				    : config_default_name(run.options.source.file);
	host_probe(&host);
	errors.tree = run.options.source.file;
	err = config_read(&run.options.source, &host, &errors, &config);
	if (!err && !config_has_kernel(config))
		error_add(&errors, "/chosen", "sluice,kernel",
			"names the kernel to run: give one, or firmware (sluice,firmware)");
	if (!err)
		config_probe(config, false, true, &errors);
	errors.tree = NULL;
	if (!errors_any(&errors)) {
		/* Prints warnings before the machine runs, not after its end. */
		errors_print(&errors, stderr);
		errors_finish(&errors);
		err = loop_create(&run.loop);
		if (err)
			error_add(&errors, "loop", NULL, "%s", strerror(-err));
		else
			code = serve(&run, &host, config, &errors);
	}
	errors_print(&errors, stderr);
	errors_finish(&errors);
	loop_destroy(run.loop);
	config_destroy(config);
	free(run.name);
	free((char *)run.options.console.path.name);
	return code;
}
