/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers made of a host's id and of names; see identity.h. */
#include "board/host/identity.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "board/host/host-memory.h"

/* ---- The host's id ---- */

/* 32 hexadecimal digits, and a newline or nothing. */
static bool parse(const char *text, uint8_t ret[HOST_ID_BYTES])
{
	if (strspn(text, "0123456789abcdefABCDEF") != 2 * HOST_ID_BYTES ||
		(text[2 * HOST_ID_BYTES] && text[2 * HOST_ID_BYTES] != '\n'))
		return false;
	for (size_t i = 0; i < HOST_ID_BYTES; i++) {
		const char digits[] = { text[2 * i], text[2 * i + 1], '\0' };

		ret[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return true;
}

static bool read_file(const char *root, const char *file, uint8_t ret[HOST_ID_BYTES])
{
	char text[64];

	text[host_file_read(root, file, text, sizeof(text) - 1)] = '\0';
	return parse(text, ret);
}

int identity_read_host(const char *root, uint8_t ret[HOST_ID_BYTES])
{
	if (read_file(root, "/etc/machine-id", ret) ||
		read_file(root, "/var/lib/dbus/machine-id", ret))
		return 0;
	memset(ret, 0, HOST_ID_BYTES);
	return -ENOENT;
}

/* ---- The hash ---- */

static uint64_t rotate(uint64_t value, unsigned bits)
{
	return value << bits | value >> (64 - bits);
}

static void mix(uint64_t v[4], unsigned rounds)
{
	while (rounds--) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = rotate(v[1], 13) ^ v[0];
		v[3] = rotate(v[3], 16) ^ v[2];
		v[0] = rotate(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = rotate(v[1], 17) ^ v[2];
		v[3] = rotate(v[3], 21) ^ v[0];
		v[2] = rotate(v[2], 32);
	}
}

/* Up to 8 bytes, the first one lowest. */
static uint64_t word(const uint8_t *bytes, size_t len)
{
	uint64_t value = 0;

	while (len--)
		value = value << 8 | bytes[len];
	return value;
}

uint64_t siphash(const uint8_t key[16], const void *message, size_t len)
{
	const uint64_t k0 = word(key, 8), k1 = word(key + 8, 8);
	uint64_t v[4] = { k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
		k1 ^ 0x7465646279746573 };
	const uint8_t *bytes = message;

	for (size_t at = 0; at <= len; at += 8) {
		uint64_t m = at + 8 <= len ? word(bytes + at, 8)
					   : word(bytes + at, len - at) | (uint64_t)len << 56;

		v[3] ^= m;
		mix(v, 2);
		v[0] ^= m;
	}
	v[2] ^= 0xff;
	mix(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t identity_of(const uint8_t host[HOST_ID_BYTES], const char *machine, const char *what)
{
	/* Each name with its zero byte, so that no two pairs of names give the same message. */
	char message[1024];
	int len = snprintf(message, sizeof(message), "sluice%c%s%c%s%c", 0, machine ? machine : "",
		0, what, 0);

	return siphash(
		host, message, (size_t)len < sizeof(message) ? (size_t)len : sizeof(message));
}
