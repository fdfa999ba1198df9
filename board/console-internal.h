/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A console as the files that make it up see it: console.c (the UART's side, and the back end's), what
 * console-backend.c opens for it, and console-port.c (sockets that people attach to).
 *
 * Output is one ring that remembers: places in it are counted from the first byte ever. The back end
 * and each port read it from a place of their own. What the back end has not read yet is kept, and the
 * UART waits, unless the back end is one that loses; a port that reads too slowly loses what is gone. Of a
 * stream ports lose nothing either; it is written on the loop's thread only.
 */
#ifndef SLUICE_BOARD_CONSOLE_INTERNAL_H
#define SLUICE_BOARD_CONSOLE_INTERNAL_H

#include <pthread.h>
#include <sys/stat.h>

#include "board/console.h"
#include "devices/chardev.h"
#include "hyp/loop.h"
#include "hyp/util.h"

#define CONSOLE_RING	 (64 * KiB)
#define CONSOLE_IN_BYTES 4096
#define CONSOLE_READ	 1024 /* bytes, at most, that are read at once */
#define CONSOLE_PIECE	 4096 /* bytes, at most, that are written at once: PIPE_BUF */
#define CONSOLE_PORTS	 2

/* A listening socket and the one who is attached to it. */
struct console_port {
	struct console *console;
	struct loop_fd listener, peer; /* fd -1: none */
	struct loop_timer accept_again;
	uint64_t at;	  /* what the peer gets next */
	bool gone;	  /* it takes no more */
	bool input_ended; /* it sends no more */
	char *path;	  /* NULL: this port is not there */
	struct stat file; /* so that only ours is removed */
};

struct console {
	struct chardev chardev;
	struct console_callbacks callbacks;
	struct loop *loop;

	/* Input: the loop's thread only. */
	int in_fd;    /* -1: at its end */
	bool in_tty;  /* and raw */
	bool in_file; /* epoll does not take it; always readable */
	bool escapes; /* Ctrl-A is one */
	struct loop_fd in_watch;
	struct loop_task in_task;
	bool escape; /* the last byte was Ctrl-A */
	uint8_t in[CONSOLE_IN_BYTES];
	size_t in_len;

	/* Output: the loop's thread, but for the ring. */
	int out_fd;
	bool out_nonblocking; /* else as much as poll() promises */
	bool out_socket, out_tty;
	int pty_fd; /* the terminal's own end, held open; -1: none */
	struct loop_fd out_watch;
	struct loop_task out_task;
	struct console_port ports[CONSOLE_PORTS];

	pthread_mutex_t lock; /* what follows */
	uint8_t ring[CONSOLE_RING];
	uint64_t head;	   /* where the next byte goes */
	uint64_t at;	   /* what the back end gets next */
	unsigned attached; /* peers */
	bool refused;	   /* the client waits for writable() */
	bool gone;	   /* no back end, or a closed one */
	bool loses;	   /* the back end gets what it is quick enough for */
	bool stream; /* of a named port: whoever is attached gets all, and nothing from before */
};

/* Copies up to `max` bytes from place *at on; moves *at on where they are gone already. Takes the lock. */
size_t console_copy(struct console *console, uint64_t *at, uint8_t *ret_buf, size_t max);

/* Where the output begins for who attaches now. */
uint64_t console_start(struct console *console);
/* Tells the client what has changed by who attached, read or left. */
void console_update(struct console *console);

/* Room for a whole CONSOLE_READ of input. */
bool console_has_room(const struct console *console);
/* Input that is no escape; the caller has seen to the room. Gives the UART what it takes. */
void console_put_input(struct console *console, const uint8_t *buf, size_t len);

/* console-backend.c: fills in_fd, out_fd and what goes with them, of kinds but for stdio. */
int console_open_backend(struct console *console, const struct console_spec *spec);

/* console-port.c */
void console_port_init(struct console *console);
/* Sends what is new, and lets it send where there is room again. */
void console_port_serve(struct console_port *port);
void console_port_finish(struct console_port *port);

#endif
