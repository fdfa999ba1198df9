/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads libraries when they are used; see libraries.h. The functions here have the names and types of the library's.
 * At the first call each looks up the library's function. Not in a static program, which is linked with the library.
 */
#include "board/host/libraries.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <zlib.h>

#include "hyp/base/log.h"

struct library {
	const char *file, *use;
	struct log_limit messages;
	void *handle;
};

static struct library jansson = { "libjansson.so.4", "QMP", LOG_LIMIT(1) };
static struct library zlib = { "libz.so.1", "gzip", LOG_LIMIT(1) };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of both libraries */

static void *load(struct library *library)
{
	void *handle;

	pthread_mutex_lock(&lock);
	if (!library->handle) {
		library->handle = dlopen(library->file, RTLD_NOW | RTLD_LOCAL);
		if (!library->handle)
			log_limited(&library->messages, LOG_ERROR,
				"%s needs %s, which cannot be loaded: %s", library->use,
				library->file, dlerror());
	}
	handle = library->handle;
	pthread_mutex_unlock(&lock);
	return handle;
}

bool libraries_have_json(void)
{
	return load(&jansson);
}

/* The library's function, looked up once and stored in `at`. NULL if it cannot be found. */
static void *find(struct library *library, const char *name, void **at)
{
	void *function = __atomic_load_n(at, __ATOMIC_ACQUIRE), *handle;

	if (function)
		return function;
	handle = load(library);
	function = handle ? dlsym(handle, name) : NULL;
	__atomic_store_n(at, function, __ATOMIC_RELEASE);
	return function;
}

/* Defines TYPE NAME PARAMETERS, which calls the library's with ARGUMENTS, or returns FAILED if there is none. */
#define FUNCTION(library, type, name, parameters, arguments, failed)                               \
	type name parameters                                                                       \
	{                                                                                          \
		static void *found;                                                                \
		type(*call) parameters = (type(*) parameters)find(library, #name, &found);         \
                                                                                                   \
		return call ? call arguments : (failed);                                           \
	}

FUNCTION(&jansson, json_t *, json_object, (void), (), NULL)
FUNCTION(&jansson, json_t *, json_array, (void), (), NULL)
FUNCTION(&jansson, json_t *, json_integer, (json_int_t value), (value), NULL)
FUNCTION(&jansson, json_t *, json_true, (void), (), NULL)
FUNCTION(&jansson, json_t *, json_false, (void), (), NULL)
FUNCTION(&jansson, json_t *, json_object_get, (const json_t *object, const char *key),
	(object, key), NULL)
FUNCTION(&jansson, int, json_object_set_new, (json_t * object, const char *key, json_t *value),
	(object, key, value), -1)
FUNCTION(&jansson, void *, json_object_iter, (json_t * object), (object), NULL)
FUNCTION(&jansson, void *, json_object_iter_next, (json_t * object, void *at), (object, at), NULL)
FUNCTION(&jansson, void *, json_object_key_to_iter, (const char *key), (key), NULL)
FUNCTION(&jansson, const char *, json_object_iter_key, (void *at), (at), NULL)
FUNCTION(&jansson, json_t *, json_object_iter_value, (void *at), (at), NULL)
FUNCTION(&jansson, size_t, json_array_size, (const json_t *array), (array), 0)
FUNCTION(&jansson, json_t *, json_array_get, (const json_t *array, size_t index), (array, index),
	NULL)
FUNCTION(&jansson, int, json_array_append_new, (json_t * array, json_t *value), (array, value), -1)
FUNCTION(&jansson, const char *, json_string_value, (const json_t *string), (string), NULL)
FUNCTION(&jansson, json_int_t, json_integer_value, (const json_t *integer), (integer), 0)
FUNCTION(&jansson, char *, json_dumps, (const json_t *json, size_t flags), (json, flags), NULL)
FUNCTION(&jansson, json_t *, json_loadb,
	(const char *buffer, size_t len, size_t flags, json_error_t *error),
	(buffer, len, flags, error), NULL)
FUNCTION(&jansson, json_t *, json_vpack_ex,
	(json_error_t * error, size_t flags, const char *format, va_list args),
	(error, flags, format, args), NULL)
FUNCTION(
	&jansson, json_t *, json_vsprintf, (const char *format, va_list args), (format, args), NULL)

/* The library is loaded: it made `json`. */
void json_delete(json_t *json)
{
	static void *found;
	void (*call)(json_t * json) = (void (*)(json_t *))find(&jansson, "json_delete", &found);

	if (call)
		call(json);
}

json_t *json_pack(const char *format, ...)
{
	json_t *json;
	va_list args;

	va_start(args, format);
	json = json_vpack_ex(NULL, 0, format, args);
	va_end(args);
	return json;
}

FUNCTION(&zlib, int, inflateInit2_,
	(z_streamp stream, int bits, const char *version, int stream_size),
	(stream, bits, version, stream_size), Z_VERSION_ERROR)
FUNCTION(&zlib, int, inflate, (z_streamp stream, int flush), (stream, flush), Z_STREAM_ERROR)
FUNCTION(&zlib, int, inflateEnd, (z_streamp stream), (stream), Z_STREAM_ERROR)
