/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network of the test's in the place of a tap interface: it takes the place of tap_open(),
 * tap_adopt() and tap_create(), so the program wraps them (meson.build).
 */
#ifndef SLUICE_TESTS_UNIT_FAKE_NETWORK_H
#define SLUICE_TESTS_UNIT_FAKE_NETWORK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/backend/netdev.h"

#define PAIRS	   3
#define NETWORK_FD 1000 /* the first interface says that its descriptor is one more, and so on */

extern struct network {
	struct netdev netdev;
	uint8_t coming[4096]; /* one frame, with its header */
	int coming_len, sent_len;
	unsigned comes_again; /* so many more like it, at once */
	unsigned asked;	      /* how often for a frame */
	unsigned sent;
	uint8_t last[NETDEV_FRAME_MAX + 1];
	bool full, listening;
	uint64_t offloads;
	unsigned offloads_set;
	pthread_mutex_t *lock; /* that a sender has to hold; NULL: none */
	int open_result;
	unsigned refuse_open; /* this one from now on is -EBUSY; 0: none */
	bool several;	      /* what was asked for last */
	int adopted;
} network;

/* Those of the second pair and on, of which only this is asked: whether they take part. */
extern struct other {
	struct netdev netdev;
	bool active;
} others[PAIRS - 1];
extern unsigned made;	       /* interfaces that there are now */
extern unsigned refuse_active; /* this one of the others may not take part, from 1 on; 0: all may */

/* Nothing comes, nothing was sent. */
void network_init(void);
/* A frame of `len` bytes, its header among them, comes in; a client that listens is notified. */
void network_comes(int len);

#endif
