/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a machine's event loop keeps others waiting: asks its control socket (QMP) for
 * query-status every 10 ms, for SECONDS or until SIGTERM, and prints the median and the longest time
 * to an answer in ms; before, that it is asking. Usage: qmp-pause SOCKET SECONDS
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define EVERY_US 10000
#define ASKS_MAX 100000

static volatile sig_atomic_t stop;

static void on_term(int number)
{
	stop = number;
}

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void die(const char *what)
{
	fprintf(stderr, "qmp-pause: %s: %s\n", what, errno ? strerror(errno) : "not understood");
	exit(1);
}

/* Lines are read until one has an answer, past the greeting and events. */
static void ask(FILE *answers, const char *command)
{
	char line[4096];

	/* Not through the stream, which may hold events that have not been read yet. */
	if (dprintf(fileno(answers), "{\"execute\":\"%s\"}\n", command) < 0)
		die(command);
	do {
		errno = 0;
		while (!fgets(line, sizeof(line), answers))
			if (errno != EINTR)
				die(command);
		if (strstr(line, "\"error\""))
			die(line);
	} while (!strstr(line, "\"return\""));
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

int main(int argc, char **argv)
{
	static double took[ASKS_MAX];
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct sigaction action = { .sa_handler = on_term, .sa_flags = SA_RESTART };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unsigned count = 0;
	double end;
	FILE *file;

	if (argc != 3 || strlen(argv[1]) >= sizeof(address.sun_path)) {
		fputs("usage: qmp-pause SOCKET SECONDS\n", stderr);
		return 2;
	}
	sigaction(SIGTERM, &action, NULL);
	strcpy(address.sun_path, argv[1]);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		die(argv[1]);
	file = fdopen(fd, "r");
	if (!file)
		die(argv[1]);
	ask(file, "qmp_capabilities");
	puts("asking");
	fflush(stdout);
	end = now_ms() + atof(argv[2]) * 1e3;
	while (!stop && count < ASKS_MAX && now_ms() < end) {
		double start = now_ms();

		ask(file, "query-status");
		took[count++] = now_ms() - start;
		usleep(EVERY_US);
	}
	if (!count)
		die("nothing was asked");
	qsort(took, count, sizeof(*took), compare);
	printf("median %.1f longest %.1f\n", took[count / 2], took[count - 1]);
	return 0;
}
