/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of a console: console.c (the UART's side, and the back end's), backend.c (opens the back end), file.c (a
 * file that is full, or rotated), and port.c (sockets that people attach to).
 *
 * Output is one ring. Positions in it count from the first byte ever. The back end and each port read it from a
 * position of their own. The UART blocks until the back end has read, unless the back end is one that drops (`loses`).
 * Clients of the machine's console that fall behind lose output; clients of named ports (`stream`) never do. A stream
 * is written on the loop's thread only.
 */
#ifndef SLUICE_BOARD_CONSOLE_CONSOLE_INTERNAL_H
#define SLUICE_BOARD_CONSOLE_CONSOLE_INTERNAL_H

#include <pthread.h>

#include "board/console/console.h"
#include "board/host/socket.h"
#include "devices/backend/chardev.h"
#include "hyp/base/log.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"

#define CONSOLE_NAME	 "console" /* in the loop's report; for ports too */
#define CONSOLE_RING	 (64 * KiB)
#define CONSOLE_IN_BYTES 4096
#define CONSOLE_READ	 1024 /* bytes, at most, that are read at once */
#define CONSOLE_PIECE	 4096 /* bytes, at most, that are written at once: PIPE_BUF */
#define CONSOLE_PORTS	 2

/* A listening socket and the client that is attached to it. */
struct console_port {
	struct console *console;
	struct server_socket server; /* watch.fd -1: this port is not used */
	struct loop_fd peer;	     /* fd -1: none */
	uint64_t at;		     /* position of the next byte for the peer */
	bool gone;		     /* the peer reads no more output */
	bool input_ended;	     /* the peer sends no more input */
	int folder_fd;		     /* the folder that server.path goes through, or -1 */
};

struct console {
	struct chardev chardev;
	struct console_callbacks callbacks;
	struct loop *loop;

	/* Input: the loop's thread only. */
	int in_fd;    /* -1: none, or at its end */
	bool in_tty;  /* in_fd is a terminal, made raw */
	bool in_file; /* in_fd is a file, which epoll refuses: always readable */
	bool escapes; /* Ctrl-A is the escape key */
	struct loop_fd in_watch;
	struct loop_task in_task;
	bool escape; /* the last byte was Ctrl-A */
	uint8_t in[CONSOLE_IN_BYTES];
	size_t in_len;

	/* Output: the loop's thread only, except for the ring. */
	int out_fd;
	bool out_nonblocking; /* false: at most what poll() guarantees is written */
	bool out_socket, out_tty;
	int pty_fd;    /* the pty's slave end, held open; -1: none */
	bool out_file; /* file.c writes it */
	char *out_name, *base;
	int folder_fd;	     /* the folder of the file `base`; -1: no rotation */
	uint64_t size_bytes; /* size at which it is rotated; 0: never */
	struct log_limit warnings;
	struct loop_timer again; /* armed: a write failed, and is retried when it fires */
	struct loop_fd out_watch;
	struct loop_task out_task;
	struct console_port ports[CONSOLE_PORTS];

	pthread_mutex_t lock; /* for all fields below */
	uint64_t head;	      /* position of the next byte from the UART */
	uint64_t at;	      /* position of the next byte for the back end */
	unsigned attached;    /* peers */
	bool refused;	      /* the client waits for writable() */
	bool gone;	      /* no back end, or a closed one */
	bool loses;	      /* a back end that falls behind loses output */
	bool full;	      /* the last write to the file failed */
	uint64_t lost_bytes;  /* bytes lost since then */
	bool stream; /* a named port: a client gets all output from the moment it attaches */
	uint8_t ring[CONSOLE_RING]; /* last: a page of it costs nothing until it is written */
};

/* Copies up to `max` bytes from position *at; moves *at forward past lost bytes. Takes the lock. */
size_t console_copy(struct console *console, uint64_t *at, uint8_t *ret_buf, size_t max);

/* The position at which the output begins for a client that attaches now. */
uint64_t console_start(struct console *console);
/* Notifies the chardev's client of what attaching, reading or detaching has changed. */
void console_update(struct console *console);

/* Whether there is room for a whole CONSOLE_READ of input. */
bool console_has_room(const struct console *console);
/* Adds input without escapes; the caller has checked the room. Passes on what the UART takes. */
void console_put_input(struct console *console, const uint8_t *buf, size_t len);

/* backend.c: fills in in_fd, out_fd and what belongs to them, for all kinds but stdio. */
int console_open_backend(struct console *console, const struct console_spec *spec);

/* file.c: once out_fd is open. 0 or -errno. */
int console_file_init(struct console *console, const struct console_spec *spec);
/*
 * As write(), but an error that may be temporary (a full disk) is logged once, becomes EAGAIN, and arms `again`.
 * 0: the file was rotated, and nothing is written yet.
 */
ssize_t console_file_write(struct console *console, const uint8_t *buf, size_t len);
/* At the end, logs what was not written. */
void console_file_end(struct console *console);
void console_file_finish(struct console *console);

/* port.c */
void console_port_init(struct console *console);
/* Sends new output, and reads from the peer again if there is room. */
void console_port_serve(struct console_port *port);
void console_port_finish(struct console_port *port);

#endif
