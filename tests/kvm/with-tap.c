/* SPDX-License-Identifier: Apache-2.0 */
/* with-tap NAME FD COMMAND...: runs a command with this tap interface open as descriptor FD, as a manager of networks does. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int fd = open("/dev/net/tun", O_RDWR);

	if (argc < 4)
		return 2;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", argv[1]);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request) || dup2(fd, atoi(argv[2])) < 0) {
		fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	close(fd);
	execvp(argv[3], argv + 3);
	perror(argv[3]);
	return 1;
}
