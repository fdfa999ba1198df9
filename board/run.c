/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `sluice run`: reads the description, builds the machine, and serves it until it ends. Signals
 * come through a descriptor, so that they are handled on the loop like everything else.
 */
#include "board/run.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "board/config.h"
#include "board/console.h"
#include "board/control-socket.h"
#include "board/control.h"
#include "board/errors.h"
#include "board/host-fault.h"
#include "board/host.h"
#include "board/machine.h"
#include "board/ports.h"
#include "hyp/log.h"
#include "hyp/loop.h"
#include "hyp/util.h"

#define OVERLAYS_MAX	     16
#define SHUTDOWN_TIMEOUT_SEC 30
#define TIMEOUT_SEC_MAX	     (365UL * 24 * 60 * 60)

static const char usage[] =
	"usage: sluice run FILE [OPTION]...\n"
	"Runs the machine that FILE (.dts or .dtb) describes. Its console is the terminal: Ctrl-A "
	"x\n"
	"leaves, Ctrl-A h shows more.\n"
	"\n"
	"  --overlay FILE          apply a device tree overlay; may be given again\n"
	"  --name NAME             the machine's name (default: FILE without its ending)\n"
	"  --control PATH          the control socket's path (default: by the name)\n"
	"  --console BACKEND       stdio (default), pty, null, file:PATH or socket:PATH; `sluice\n"
	"                          console NAME attaches to any\n"
	"  --no-reboot             end where the guest asks for a reset\n"
	"  --shutdown-timeout SEC  after SIGTERM, how long the guest may take (default: 30)\n"
	"  --timeout SEC           end the machine after this time\n";

struct run_options {
	const char *file;
	const char *overlays[OVERLAYS_MAX];
	size_t overlay_count;
	const char *name, *control;
	struct console_spec console; /* where has_console */
	bool has_console, no_reboot;
	uint64_t shutdown_timeout_ms, timeout_ms;
};

struct run {
	struct run_options options;
	char *name;
	struct loop *loop;
	struct machine *machine;
	struct control *control;
	struct loop_fd signals;
	struct loop_timer shutdown_deadline, deadline;
	bool shutting_down, timed_out;
};

static bool parse_seconds(const char *text, uint64_t *ret_ms)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || value > TIMEOUT_SEC_MAX)
		return false;
	*ret_ms = (uint64_t)value * 1000;
	return true;
}

static int usage_error(const char *text, const char *value)
{
	fprintf(stderr, "sluice run: %s%s\n%s", text, value, usage);
	return EXIT_USAGE;
}

/* Returns -1 to go on, or the exit code. */
static int parse_options(int argc, char **argv, struct run_options *ret)
{
	enum { OVERLAY = 256, NAME, CONTROL, CONSOLE, NO_REBOOT, SHUTDOWN_TIMEOUT, TIMEOUT, HELP };
	static const struct option options[] = {
		{ "overlay", required_argument, NULL, OVERLAY },
		{ "name", required_argument, NULL, NAME },
		{ "control", required_argument, NULL, CONTROL },
		{ "console", required_argument, NULL, CONSOLE },
		{ "no-reboot", no_argument, NULL, NO_REBOOT },
		{ "shutdown-timeout", required_argument, NULL, SHUTDOWN_TIMEOUT },
		{ "timeout", required_argument, NULL, TIMEOUT },
		{ "help", no_argument, NULL, HELP },
		{ 0 },
	};
	int option;

	*ret = (struct run_options){ .shutdown_timeout_ms = SHUTDOWN_TIMEOUT_SEC * 1000 };
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case OVERLAY:
			if (ret->overlay_count == OVERLAYS_MAX)
				return usage_error("too many overlays: ", optarg);
			ret->overlays[ret->overlay_count++] = optarg;
			break;
		case NAME:
			ret->name = optarg;
			break;
		case CONTROL:
			ret->control = optarg;
			break;
		case CONSOLE:
			free(ret->console.path);
			ret->console.path = NULL;
			ret->has_console = console_spec_read(optarg, "", &ret->console);
			if (!ret->has_console)
				return usage_error("none of " CONSOLE_SPECS ": ", optarg);
			break;
		case NO_REBOOT:
			ret->no_reboot = true;
			break;
		case SHUTDOWN_TIMEOUT:
			if (!parse_seconds(optarg, &ret->shutdown_timeout_ms))
				return usage_error("not a number of seconds: ", optarg);
			break;
		case TIMEOUT:
			if (!parse_seconds(optarg, &ret->timeout_ms))
				return usage_error("not a number of seconds: ", optarg);
			break;
		case HELP:
			fputs(usage, stdout);
			return EXIT_OK;
		default:
			fputs(usage, stderr);
			return EXIT_USAGE;
		}
	}
	if (optind + 1 != argc)
		return usage_error(optind == argc ? "no FILE given" : "one FILE only, not also ",
			optind == argc ? "" : argv[optind + 1]);
	ret->file = argv[optind];
	return -1;
}

static void print_log(enum log_level level, const char *line)
{
	static const char *const prefix[] = {
		[LOG_ERROR] = "",
		[LOG_WARNING] = "warning: ",
		[LOG_INFO] = "",
	};

	struct pollfd writable = { .fd = STDERR_FILENO, .events = POLLOUT };

	/* The loop waits for nobody who reads this: a line that finds no room is lost. */
	if (poll(&writable, 1, 0) == 1 && (writable.revents & POLLOUT))
		fprintf(stderr, "sluice: %s%s\n", prefix[level], line);
}

/* --- ending --- */

static void end_late(struct run *run, const char *why)
{
	log_print(LOG_ERROR, "%s: ended", why);
	run->timed_out = true;
	machine_quit(run->machine, "host-signal");
}

/* The first request presses the power button; the second ends the machine. */
static void shut_down(struct run *run)
{
	if (run->shutting_down) {
		end_late(run, "asked to end again");
		return;
	}
	run->shutting_down = true;
	if (machine_state(run->machine) == MACHINE_PAUSED) { /* nobody there to see the button */
		end_late(run, "the machine is paused");
		return;
	}
	machine_power_button(run->machine);
	loop_timer_arm(run->loop, &run->shutdown_deadline, run->options.shutdown_timeout_ms);
}

static void on_signal(struct loop_fd *watch, uint32_t events)
{
	struct run *run = container_of(watch, struct run, signals);
	struct signalfd_siginfo info;

	(void)events;
	if (read(watch->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
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

static void on_leave(void *opaque)
{
	struct run *run = opaque;

	machine_quit(run->machine, "host-ui");
}

static void on_power_button(void *opaque)
{
	struct run *run = opaque;

	machine_power_button(run->machine);
}

static void on_notice(void *opaque, enum machine_notice notice, const char *reason)
{
	struct run *run = opaque;

	control_notify(run->control, notice, reason);
}

static int watch_signals(struct run *run)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
	struct sigaction old;
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		/* nohup, and shells for their background jobs, have some ignored: let them. */
		sigaction(signals[i], NULL, &old);
		if (old.sa_handler != SIG_IGN)
			sigaddset(&set, signals[i]);
	}
	sigprocmask(SIG_BLOCK, &set, NULL);
	run->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (run->signals.fd < 0)
		return -errno;
	run->signals.events = EPOLLIN;
	run->signals.ready = on_signal;
	return loop_fd_add(run->loop, &run->signals);
}

/* --- the whole --- */

/* The file's name without folder and ending. malloc'ed. */
static char *default_name(const char *file)
{
	const char *slash = strrchr(file, '/');
	char *name = strdup(slash ? slash + 1 : file);
	char *dot = name ? strrchr(name, '.') : NULL;

	if (dot && dot != name)
		*dot = '\0';
	return name;
}

/* The machine's socket; a default name that is taken gets the process id. */
static int create_control(struct run *run, struct errors *errors)
{
	struct run_options *options = &run->options;
	struct errors first = { 0 };
	char *path, *with_pid = NULL;
	int err;

	if (options->control)
		return control_create(options->control, run->loop, errors, &run->control);
	path = control_path(run->name, true, errors);
	if (!path)
		return -EINVAL;
	err = control_create(path, run->loop, options->name ? errors : &first, &run->control);
	if (err == -EADDRINUSE && !options->name &&
		asprintf(&with_pid, "%s-%d", run->name, (int)getpid()) > 0) {
		free(run->name);
		run->name = with_pid;
		free(path);
		path = control_path(run->name, true, errors);
		err = path ? control_create(path, run->loop, errors, &run->control) : -EINVAL;
	} else {
		errors_move(errors, &first);
	}
	errors_finish(&first);
	free(path);
	return err;
}

/* The console on its back end, and the sockets to attach to it. */
static int create_console(struct run *run, const struct console_spec *spec,
	const struct console_callbacks *callbacks, struct errors *errors, struct console **ret)
{
	char *path = console_port_path(control_place(run->control), NULL);
	int err = path ? console_create(run->loop, spec, callbacks, ret) : -ENOMEM;

	if (err)
		error_add(errors, "console", spec->path, "%s", strerror(-err));
	else
		err = console_listen(*ret, path, errors);
	if (!err && spec->kind == CONSOLE_SOCKET)
		err = console_listen(*ret, spec->path, errors);
	free(path);
	return err;
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

	/* First: one that came while the machine is made would end us with the socket left behind. */
	err = watch_signals(run);
	if (err) {
		error_add(errors, "signals", NULL, "%s", strerror(-err));
		goto out;
	}
	err = create_control(run, errors);
	if (err)
		goto out;
	options.name = run->name;
	err = create_console(run, spec, &callbacks, errors, &console);
	if (!err)
		err = ports_create(run->loop, config, control_place(run->control),
			spec->kind == CONSOLE_STDIO, &callbacks, errors, &ports);
	if (err)
		goto out;
	options.console = console_chardev(console);
	options.ports = ports_chardevs(ports);
	err = machine_create(config, &options, run->loop, errors, &run->machine);
	if (err)
		goto out;
	control_set_machine(run->control, run->machine);
	if (run->options.timeout_ms)
		loop_timer_arm(run->loop, &run->deadline, run->options.timeout_ms);
	machine_start(run->machine);
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
		.deadline.fired = on_deadline,
		.shutdown_deadline.fired = on_shutdown_deadline };
	struct machine_config *config = NULL;
	struct host_limits host;
	struct errors errors = { 0 };
	int err, code = parse_options(argc, argv, &run.options);

	if (code >= 0)
		return code;
	code = EXIT_WRONG;
	log_set_sink(print_log);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD,
		SIG_DFL); /* what is started is waited for, whatever who started us ignores */
	host_fault_explain();
	run.name = run.options.name ? strdup(run.options.name) : default_name(run.options.file);
	host_probe(&host);
	err = config_read(run.options.file, run.options.overlays, run.options.overlay_count, &host,
		&errors, &config);
	if (!err && !config->kernel)
		error_add(&errors, "/chosen", "sluice,kernel", "names the kernel to run: give one");
	if (!errors_any(&errors)) {
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
	free(run.options.console.path);
	free(run.name);
	return code;
}
