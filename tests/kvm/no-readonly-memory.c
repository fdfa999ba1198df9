/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded, it makes this a host whose KVM has no read-only memory slots, as some had before KVM_CAP_READONLY_MEM. */
#include <linux/kvm.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

int ioctl(int fd, unsigned long request, ...);
int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	unsigned long arg;

	va_start(args, request);
	arg = va_arg(args, unsigned long);
	va_end(args);
	if (request == KVM_CHECK_EXTENSION && arg == KVM_CAP_READONLY_MEM)
		return 0;
	return (int)syscall(SYS_ioctl, fd, request, arg);
}
