/* SPDX-License-Identifier: Apache-2.0 */
/* SIGBUS in words; see host-fault.h. Only what signal-safety(7) allows. */
#include "board/host/host-fault.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "board/text/exit-codes.h"

static void on_bus_error(int number, siginfo_t *info, void *context)
{
	const char *text = NULL;

	if (info->si_code == BUS_ADRERR)
		text = "sluice: error: the host has no memory for the guest's where a device uses it (huge pages used up, a cgroup's limit: see hugetlb.*.max, or a file cut short); the machine ends\n";
	else if (info->si_code == BUS_MCEERR_AR)
		text = "sluice: error: the host's memory is broken where the guest's is (see the kernel's log); the machine ends\n";
	if (!text) { /* sent by a process: takes its default action */
		signal(number, SIG_DFL);
		raise(number);
		return;
	}
	while (*text) {
		ssize_t n = write(STDERR_FILENO, text, strlen(text));

		if (n <= 0)
			break;
		text += n;
	}
	_exit(EXIT_WRONG);
}

void host_fault_explain(void)
{
	struct sigaction action = { .sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO };

	sigfillset(&action.sa_mask);
	sigaction(SIGBUS, &action, NULL);
}
