/* SPDX-License-Identifier: Apache-2.0 */
/* The PL011, and what newlib needs of a system. */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bare.h"

#define UART	((volatile uint32_t *)0x09000000)
#define UARTDR	0
#define UARTFR	(0x18 / 4)
#define UARTCR	(0x30 / 4)
#define FR_RXFE (1 << 4)
#define FR_TXFF (1 << 5)

extern char __heap_start[], __heap_end[];

void console_init(void)
{
	UART[UARTCR] = 0x301; /* UARTEN, TXE, RXE */
}

bool console_full(void)
{
	return UART[UARTFR] & FR_TXFF;
}

void console_put(char c)
{
	while (console_full())
		;
	UART[UARTDR] = (uint8_t)c;
}

int console_get(void)
{
	return UART[UARTFR] & FR_RXFE ? -1 : (int)(UART[UARTDR] & 0xff);
}

int _write(int fd, const char *buf, int len);
int _write(int fd, const char *buf, int len)
{
	for (int i = 0; i < len; i++)
		console_put(buf[i]);
	return len;
}

void *_sbrk(ptrdiff_t increment);
void *_sbrk(ptrdiff_t increment)
{
	static char *end = __heap_start;
	char *old = end;

	if (increment > __heap_end - end) {
		errno = ENOMEM;
		return (void *)-1;
	}
	end += increment;
	return old;
}

void _exit(int status)
{
	power_off();
}

int _close(int fd);
int _close(int fd)
{
	return -1;
}

int _fstat(int fd, struct stat *st);
int _fstat(int fd, struct stat *st)
{
	st->st_mode = S_IFCHR;
	return 0;
}

int _isatty(int fd);
int _isatty(int fd)
{
	return 1;
}

int _lseek(int fd, int offset, int whence);
int _lseek(int fd, int offset, int whence)
{
	return 0;
}

int _read(int fd, char *buf, int len);
int _read(int fd, char *buf, int len)
{
	return 0;
}

int _kill(int pid, int number);
int _kill(int pid, int number)
{
	return -1;
}

int _getpid(void);
int _getpid(void)
{
	return 1;
}
