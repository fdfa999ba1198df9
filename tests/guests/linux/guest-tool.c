/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests ask of a Linux guest beyond a shell: to use its memory and say later whether it kept its contents,
 * to say how much it has, and to switch off when its power button is pressed. Static, the guest has no libraries.
 *
 * fill MIB SEED   fills MIB MiB, every page with a pattern of its own, and leaves a process behind that holds them
 * verify          has that process read all of it again: exit status 0 if every word is as it was written
 * release         has it let go of the memory and end
 * memtotal        MemTotal in MiB
 * kexec WHEN KERNEL INITRD BOOTARGS
 *                 loads a kernel: WHEN is "next", for kexec-go, or "panic"
 * kexec-go        starts it
 * vmcore MIB SEED reads the whole dump of a guest that panicked: 0 if what it had filled is there
 * blk FILE COUNT SEED
 *                 so many reads and writes of random sizes on a disk or file: 0 if each read what was written
 * vsock CID|listen PORT
 *                 stdin to, and then from, one connection over a vsock
 * kernel-store ADDRESS
 *                 has the kernel, not the process, store a word at a physical address
 * ptp             the seconds of the first PTP clock, and its name
 * button          leaves a process behind that switches off when KEY_POWER is pressed, once it listens
 * shell           as the first process: a shell on the console, again and again, and what poweroff, reboot and halt
 *                 ask of such a process
 * gaps start      leaves a process behind on each CPU that reads the clock all the time
 * gaps stop       ends them: the longest time, in microseconds, that each CPU was stopped
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest-tool.h"

struct hold {
	uint64_t *words;
	size_t pages;
	uint64_t seed;
};

/* splitmix64 */
uint64_t page_word(uint64_t seed, uint64_t page)
{
	uint64_t z = seed + (page + 1) * 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static void hold_fill(struct hold *hold)
{
	for (size_t p = 0; p < hold->pages; p++) {
		uint64_t first = page_word(hold->seed, p);

		for (size_t w = 0; w < WORDS; w++)
			hold->words[p * WORDS + w] = first + w;
	}
}

/* The number of pages that are not as they were written; ret_first is the first of them. */
static size_t hold_spoiled(const struct hold *hold, size_t *ret_first)
{
	size_t spoiled = 0;

	for (size_t p = 0; p < hold->pages; p++) {
		uint64_t first = page_word(hold->seed, p), wrong = 0;

		for (size_t w = 0; w < WORDS; w++)
			wrong |= hold->words[p * WORDS + w] ^ (first + w);
		if (wrong && spoiled++ == 0)
			*ret_first = p;
	}
	return spoiled;
}

/* One abstract socket: there is one holder at a time. */
static const struct sockaddr_un holder = { .sun_family = AF_UNIX, .sun_path = "\0guest-tool" };
#define HOLDER_LEN (offsetof(struct sockaddr_un, sun_path) + sizeof("\0guest-tool") - 1)

static long meminfo_kib(const char *name)
{
	char line[128];
	long kib = -1;
	FILE *f = fopen("/proc/meminfo", "r");

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ':')
			kib = atol(line + strlen(name) + 1);
	if (f)
		fclose(f);
	return kib;
}

/* Answers one client after the other until one says release. */
static void hold_serve(struct hold *hold, int listener)
{
	for (;;) {
		char command = 0, answer[128];
		size_t first = 0, spoiled;
		int client = accept(listener, NULL, NULL);

		if (client < 0 || read(client, &command, 1) != 1) {
			close(client);
			continue;
		}
		if (command == 'r') {
			munmap(hold->words, hold->pages * PAGE);
			(void)!write(client, "released\n", 9);
			exit(0);
		}
		spoiled = hold_spoiled(hold, &first);
		if (spoiled)
			snprintf(answer, sizeof(answer), "spoiled: %zu of %zu pages, the first is page %zu\n",
				 spoiled, hold->pages, first);
		else
			snprintf(answer, sizeof(answer), "intact: %zu MiB\n", hold->pages * PAGE / MIB);
		(void)!write(client, answer, strlen(answer));
		close(client);
	}
}

static int fill(const char *mib, const char *seed)
{
	struct hold hold = { .pages = strtoul(mib, NULL, 0) * (MIB / PAGE), .seed = strtoull(seed, NULL, 0) };
	long available = meminfo_kib("MemAvailable");
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), done[2], enabled;
	char byte;

	if (hold.pages == 0 || hold.pages * (PAGE / 1024) > (size_t)available) {
		printf("fill: %s MiB asked, %ld MiB available\n", mib, available / 1024);
		return 1;
	}
	if (listener < 0 || bind(listener, (const struct sockaddr *)&holder, HOLDER_LEN) || listen(listener, 4) ||
	    pipe(done)) {
		printf("fill: %s\n", errno == EADDRINUSE ? "memory is held already, release it first" : strerror(errno));
		return 1;
	}
	hold.words = mmap(NULL, hold.pages * PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (hold.words == MAP_FAILED) {
		printf("fill: %s\n", strerror(errno));
		return 1;
	}
	/*
	 * Faulting it in page by page would take most of the time in an emulated host, and Linux has no
	 * huge pages where it started with less than 512 MiB.
	 */
	enabled = open("/sys/kernel/mm/transparent_hugepage/enabled", O_WRONLY);
	(void)!write(enabled, "madvise", 7);
	close(enabled);
	madvise(hold.words, hold.pages * PAGE, MADV_HUGEPAGE);
	if (fork() == 0) {
		int null = open("/dev/null", O_RDWR);

		setsid();
		for (int fd = 0; fd < 3; fd++)
			dup2(null, fd);
		close(done[0]);
		hold_fill(&hold);
		(void)!write(done[1], "x", 1);
		close(done[1]);
		hold_serve(&hold, listener);
	}
	close(done[1]);
	if (read(done[0], &byte, 1) != 1) {
		printf("fill: the process that held the memory died\n");
		return 1;
	}
	printf("filled: %zu MiB\n", hold.pages * PAGE / MIB);
	return 0;
}

/* Sends the holder a command and prints its answer; 0 if the answer begins with "good". */
static int ask(char command, const char *good)
{
	char answer[128] = "";
	ssize_t n;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (const struct sockaddr *)&holder, HOLDER_LEN)) {
		printf("no memory is held\n");
		return 1;
	}
	(void)!write(fd, &command, 1);
	n = read(fd, answer, sizeof(answer) - 1);
	printf("%s", n > 0 ? answer : "the process that held the memory died\n");
	/* The memory is free once the holder has gone. */
	while (n > 0 && read(fd, answer + n, 1) > 0)
		;
	return strncmp(answer, good, strlen(good)) != 0;
}

/* Devices may appear late: until there is one, it scans for them again and again; after 5 s in the background. */
static int button(void)
{
	bool background = false;

	for (int tries = 0;; tries++) {
		struct pollfd fds[16];
		int n = 0;

		for (int i = 0; i < 16; i++) {
			char path[32];

			snprintf(path, sizeof(path), "/dev/input/event%d", i);
			fds[n] = (struct pollfd){ .fd = open(path, O_RDONLY | O_CLOEXEC), .events = POLLIN };
			if (fds[n].fd >= 0)
				n++;
		}
		if (!background && (n || tries == 100)) {
			if (fork())
				return 0;
			background = true;
		}
		while (poll(fds, n, n ? -1 : 50) > 0)
			for (int i = 0; i < n; i++) {
				struct input_event event;

				if (!(fds[i].revents & POLLIN) ||
				    read(fds[i].fd, &event, sizeof(event)) != sizeof(event) ||
				    event.type != EV_KEY || event.code != KEY_POWER || event.value != 1)
					continue;
				execl("/bin/busybox", "poweroff", "-f", NULL);
				return 1;
			}
	}
}

/* By these signals busybox's poweroff, reboot and halt ask the first process to act (its init/halt.c). */
static int shell(void)
{
	static const struct {
		int signal;
		const char *command;
	} asked[] = { { SIGUSR2, "poweroff" }, { SIGTERM, "reboot" }, { SIGUSR1, "halt" } };
	sigset_t set, old;
	pid_t pid = -1;
	int signal;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (size_t i = 0; i < 3; i++)
		sigaddset(&set, asked[i].signal);
	sigprocmask(SIG_BLOCK, &set, &old);
	for (;;) {
		if (pid < 0)
			pid = fork();
		if (pid < 0)
			sleep(1);
		if (pid == 0) {
			sigprocmask(SIG_SETMASK, &old, NULL);
			execl("/bin/busybox", "setsid", "cttyhack", "sh", NULL);
			_exit(1);
		}
		if (pid < 0 || sigwait(&set, &signal))
			continue;
		for (size_t i = 0; i < 3; i++)
			if (signal == asked[i].signal)
				execl("/bin/busybox", asked[i].command, "-f", NULL);
		/* What lost its parent is ours to wait for, too. */
		for (pid_t ended; (ended = waitpid(-1, NULL, WNOHANG)) > 0;)
			if (ended == pid)
				pid = -1;
	}
}

/* What the readers of `gaps` share. */
#define GAPS "/tmp/gaps"
#define CPUS_MAX 64
struct gaps {
	atomic_int stop, running;
	uint64_t longest_us[CPUS_MAX];
};

/*
 * CPU time of its own: what other tasks of the guest take does not count, so a step is time in which the CPU ran this
 * loop and did not get on.
 */
static uint64_t own_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void gaps_read(struct gaps *gaps, int cpu)
{
	cpu_set_t set;
	uint64_t last, now, longest = 0;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
	setsid();
	gaps->running++;
	for (last = own_us(); !gaps->stop; last = now) {
		now = own_us();
		if (now - last > longest)
			longest = now - last;
	}
	gaps->longest_us[cpu] = longest;
	gaps->running--;
	exit(0);
}

static int gaps(bool start)
{
	int fd = open(GAPS, start ? O_RDWR | O_CREAT | O_TRUNC : O_RDWR, 0600), cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
	struct gaps *gaps;

	if (fd < 0 || ftruncate(fd, sizeof(*gaps)) || cpus > CPUS_MAX)
		return 1;
	gaps = mmap(NULL, sizeof(*gaps), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (gaps == MAP_FAILED)
		return 1;
	for (int cpu = 0; start && cpu < cpus; cpu++)
		if (fork() == 0)
			gaps_read(gaps, cpu);
	gaps->stop = !start;
	while (gaps->running != (start ? cpus : 0))
		usleep(1000);
	for (int cpu = 0; !start && cpu < cpus; cpu++)
		printf("%llu\n", (unsigned long long)gaps->longest_us[cpu]);
	return 0;
}

static int kernel_store(const char *address)
{
	off_t at = (off_t)strtoull(address, NULL, 0), page = at & ~(off_t)(PAGE - 1);
	int fd = open("/dev/mem", O_RDWR | O_SYNC), ends[2];
	char *map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, page);

	if (map == MAP_FAILED || pipe(ends)) {
		printf("kernel-store: %s\n", strerror(errno));
		return 1;
	}
	/* One put_user(): how much there is to read goes there. */
	return ioctl(ends[0], FIONREAD, map + (at - page)) != 0;
}

/* Such a clock is read as any other, by a number made of its descriptor (clock_gettime(2)). */
static int ptp(void)
{
	char name[32] = "";
	struct timespec now;
	int fd = open("/sys/class/ptp/ptp0/clock_name", O_RDONLY);

	if (fd < 0 || read(fd, name, sizeof(name) - 1) < 1) {
		printf("ptp: there is no PTP clock\n");
		return 1;
	}
	close(fd);
	fd = open("/dev/ptp0", O_RDWR);
	if (fd < 0 || clock_gettime(~(clockid_t)fd << 3 | 3, &now)) {
		printf("ptp: %s\n", strerror(errno));
		return 1;
	}
	name[strcspn(name, "\n")] = '\0';
	return printf("%lld %s\n", (long long)now.tv_sec, name) < 0;
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";

	if (!strcmp(command, "fill") && argc == 4)
		return fill(argv[2], argv[3]);
	if (!strcmp(command, "verify"))
		return ask('v', "intact");
	if (!strcmp(command, "release"))
		return ask('r', "released");
	if (!strcmp(command, "memtotal"))
		return printf("%ld\n", meminfo_kib("MemTotal") / 1024) < 0;
	if (!strcmp(command, "ptp"))
		return ptp();
	if (!strcmp(command, "button"))
		return button();
	if (!strcmp(command, "shell"))
		return shell();
	if (!strcmp(command, "kernel-store") && argc == 3)
		return kernel_store(argv[2]);
	if (!strcmp(command, "kexec") && argc == 6)
		return kexec_prepare(argv[2], argv[3], argv[4], argv[5]);
	if (!strcmp(command, "kexec-go"))
		return kexec_go();
	if (!strcmp(command, "vmcore") && argc == 4)
		return vmcore_search(argv[2], argv[3]);
	if (!strcmp(command, "blk") && argc == 5)
		return blk_exercise(argv[2], argv[3], argv[4]);
	if (!strcmp(command, "vsock") && argc == 4)
		return vsock_talk(argv[2], argv[3]);
	if (!strcmp(command, "gaps") && argc == 3)
		return gaps(!strcmp(argv[2], "start"));
	fprintf(stderr, "usage: guest-tool fill MIB SEED | verify | release | memtotal | ptp | button | shell | gaps start|stop |\n"
			"       kernel-store ADDRESS | blk FILE COUNT SEED | vsock CID|listen PORT |\n"
			"       kexec next|panic KERNEL INITRD BOOTARGS | kexec-go | vmcore MIB SEED\n");
	return 2;
}
