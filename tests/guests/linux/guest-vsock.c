/* SPDX-License-Identifier: Apache-2.0 */
/* One connection over AF_VSOCK, as nc has it over TCP: what is read from stdin goes, then what comes is written to stdout. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "guest-tool.h"

static int copy(int from, int to)
{
	char buf[65536];
	ssize_t n;

	while ((n = read(from, buf, sizeof(buf))) > 0)
		for (ssize_t done = 0, more; done < n; done += more)
			if ((more = write(to, buf + done, (size_t)(n - done))) <= 0)
				return -1;
	return n ? -1 : 0;
}

int vsock_talk(const char *peer, const char *port)
{
	int one = socket(AF_VSOCK, SOCK_STREAM, 0), fd = one;
	struct sockaddr_vm addr = {
		.svm_family = AF_VSOCK,
		.svm_cid = VMADDR_CID_ANY,
		.svm_port = (unsigned)strtoul(port, NULL, 0),
	};

	if (!strcmp(peer, "listen")) {
		if (bind(one, (void *)&addr, sizeof(addr)) || listen(one, 1) || (fd = accept(one, NULL, NULL)) < 0)
			goto failed;
	} else {
		addr.svm_cid = (unsigned)strtoul(peer, NULL, 0);
		if (connect(one, (void *)&addr, sizeof(addr)))
			goto failed;
	}
	if (!copy(0, fd) && !shutdown(fd, SHUT_WR) && !copy(fd, 1))
		return 0;
failed:
	fprintf(stderr, "vsock: %s\n", strerror(errno));
	return 1;
}
