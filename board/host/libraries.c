/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads libraries when they are used; see libraries.h. The functions here have the names and types of the library's.
 * At the first call each looks up the library's function. Not in a static program, which is linked with the library.
 */
#include "board/host/libraries.h"

#include <dlfcn.h>
#include <lz4.h>
#include <lz4frame.h>
#include <lzma.h>
#include <mbedtls/asn1.h>
#include <mbedtls/base64.h>
#include <mbedtls/md.h>
#include <mbedtls/pk.h>
#include <mbedtls/rsa.h>
#include <mbedtls/version.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <zlib.h>
#include <zstd.h>

#include "hyp/base/log.h"

/* Its structs differ from one to the next. */
#if MBEDTLS_VERSION_MAJOR == 2
#define MBEDCRYPTO "libmbedcrypto.so.7"
#elif MBEDTLS_VERSION_MAJOR == 3
#define MBEDCRYPTO "libmbedcrypto.so.16"
#else
#error "needed is mbedTLS 2.28 or 3.6"
#endif

struct loaded {
	const char *file, *use;
	struct log_limit messages;
	void *handle;
};

static struct loaded libraries[] = {
	[LIBRARY_JANSSON] = { "libjansson.so.4", "QMP", LOG_LIMIT(1) },
	[LIBRARY_ZLIB] = { "libz.so.1", "gzip", LOG_LIMIT(1) },
	[LIBRARY_ZSTD] = { "libzstd.so.1", "zstd", LOG_LIMIT(1) },
	[LIBRARY_LZMA] = { "liblzma.so.5", "xz", LOG_LIMIT(1) },
	[LIBRARY_LZ4] = { "liblz4.so.1", "lz4", LOG_LIMIT(1) },
	[LIBRARY_MBEDCRYPTO] = { MBEDCRYPTO, "FIT", LOG_LIMIT(1) },
};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all libraries */

static void *load(struct loaded *library)
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

bool library_load(enum library library)
{
	return load(&libraries[library]);
}

const char *library_file(enum library library)
{
	return libraries[library].file;
}

/* The library's function, looked up once and stored in `at`. NULL if it cannot be found. */
static void *find(enum library library, const char *name, void **at)
{
	void *function = __atomic_load_n(at, __ATOMIC_ACQUIRE), *handle;

	if (function)
		return function;
	handle = load(&libraries[library]);
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

/* The same of one that returns nothing, and does nothing if there is none. */
#define PROCEDURE(library, name, parameters, arguments)                                            \
	void name parameters                                                                       \
	{                                                                                          \
		static void *found;                                                                \
		void(*call) parameters = (void(*) parameters)find(library, #name, &found);         \
                                                                                                   \
		if (call)                                                                          \
			call arguments;                                                            \
	}

FUNCTION(LIBRARY_JANSSON, json_t *, json_object, (void), (), NULL)
FUNCTION(LIBRARY_JANSSON, json_t *, json_array, (void), (), NULL)
FUNCTION(LIBRARY_JANSSON, json_t *, json_integer, (json_int_t value), (value), NULL)
FUNCTION(LIBRARY_JANSSON, json_t *, json_true, (void), (), NULL)
FUNCTION(LIBRARY_JANSSON, json_t *, json_false, (void), (), NULL)
FUNCTION(LIBRARY_JANSSON, json_t *, json_object_get, (const json_t *object, const char *key),
	(object, key), NULL)
FUNCTION(LIBRARY_JANSSON, int, json_object_set_new,
	(json_t * object, const char *key, json_t *value), (object, key, value), -1)
FUNCTION(LIBRARY_JANSSON, void *, json_object_iter, (json_t * object), (object), NULL)
FUNCTION(LIBRARY_JANSSON, void *, json_object_iter_next, (json_t * object, void *at), (object, at),
	NULL)
FUNCTION(LIBRARY_JANSSON, void *, json_object_key_to_iter, (const char *key), (key), NULL)
FUNCTION(LIBRARY_JANSSON, const char *, json_object_iter_key, (void *at), (at), NULL)
FUNCTION(LIBRARY_JANSSON, json_t *, json_object_iter_value, (void *at), (at), NULL)
FUNCTION(LIBRARY_JANSSON, size_t, json_array_size, (const json_t *array), (array), 0)
FUNCTION(LIBRARY_JANSSON, json_t *, json_array_get, (const json_t *array, size_t index),
	(array, index), NULL)
FUNCTION(LIBRARY_JANSSON, int, json_array_append_new, (json_t * array, json_t *value),
	(array, value), -1)
FUNCTION(LIBRARY_JANSSON, const char *, json_string_value, (const json_t *string), (string), NULL)
FUNCTION(LIBRARY_JANSSON, json_int_t, json_integer_value, (const json_t *integer), (integer), 0)
FUNCTION(LIBRARY_JANSSON, char *, json_dumps, (const json_t *json, size_t flags), (json, flags),
	NULL)
FUNCTION(LIBRARY_JANSSON, json_t *, json_loadb,
	(const char *buffer, size_t len, size_t flags, json_error_t *error),
	(buffer, len, flags, error), NULL)
FUNCTION(LIBRARY_JANSSON, json_t *, json_vpack_ex,
	(json_error_t * error, size_t flags, const char *format, va_list args),
	(error, flags, format, args), NULL)
FUNCTION(LIBRARY_JANSSON, json_t *, json_vsprintf, (const char *format, va_list args),
	(format, args), NULL)

PROCEDURE(LIBRARY_JANSSON, json_delete, (json_t * json), (json))

json_t *json_pack(const char *format, ...)
{
	json_t *json;
	va_list args;

	va_start(args, format);
	json = json_vpack_ex(NULL, 0, format, args);
	va_end(args);
	return json;
}

FUNCTION(LIBRARY_ZLIB, int, inflateInit2_,
	(z_streamp stream, int bits, const char *version, int stream_size),
	(stream, bits, version, stream_size), Z_VERSION_ERROR)
FUNCTION(LIBRARY_ZLIB, int, inflate, (z_streamp stream, int flush), (stream, flush), Z_STREAM_ERROR)
FUNCTION(LIBRARY_ZLIB, int, inflateEnd, (z_streamp stream), (stream), Z_STREAM_ERROR)
/* 0 is a checksum too: callers load the library first. */
FUNCTION(LIBRARY_ZLIB, uLong, crc32, (uLong crc, const Bytef *data, uInt len), (crc, data, len), 0)

FUNCTION(LIBRARY_ZSTD, ZSTD_DCtx *, ZSTD_createDCtx, (void), (), NULL)
FUNCTION(LIBRARY_ZSTD, size_t, ZSTD_freeDCtx, (ZSTD_DCtx * context), (context), 0)
FUNCTION(LIBRARY_ZSTD, size_t, ZSTD_DCtx_setParameter,
	(ZSTD_DCtx * context, ZSTD_dParameter parameter, int value), (context, parameter, value), 0)
FUNCTION(LIBRARY_ZSTD, size_t, ZSTD_decompressStream,
	(ZSTD_DStream * context, ZSTD_outBuffer *out, ZSTD_inBuffer *in), (context, out, in),
	(size_t)-1)
FUNCTION(LIBRARY_ZSTD, unsigned, ZSTD_isError, (size_t code), (code), 1)
FUNCTION(LIBRARY_ZSTD, const char *, ZSTD_getErrorName, (size_t code), (code), "no library")

FUNCTION(LIBRARY_LZMA, lzma_ret, lzma_stream_decoder,
	(lzma_stream * stream, uint64_t most, uint32_t flags), (stream, most, flags),
	LZMA_MEM_ERROR)
FUNCTION(LIBRARY_LZMA, lzma_ret, lzma_alone_decoder, (lzma_stream * stream, uint64_t most),
	(stream, most), LZMA_MEM_ERROR)
FUNCTION(LIBRARY_LZMA, lzma_ret, lzma_code, (lzma_stream * stream, lzma_action action),
	(stream, action), LZMA_PROG_ERROR)

PROCEDURE(LIBRARY_LZMA, lzma_end, (lzma_stream * stream), (stream))

FUNCTION(LIBRARY_LZ4, int, LZ4_decompress_safe, (const char *from, char *to, int size, int room),
	(from, to, size, room), -1)
FUNCTION(LIBRARY_LZ4, LZ4F_errorCode_t, LZ4F_createDecompressionContext,
	(LZ4F_dctx * *ret, unsigned version), (ret, version), (size_t)-1)
FUNCTION(LIBRARY_LZ4, LZ4F_errorCode_t, LZ4F_freeDecompressionContext, (LZ4F_dctx * context),
	(context), 0)
FUNCTION(LIBRARY_LZ4, size_t, LZ4F_decompress,
	(LZ4F_dctx * context, void *out, size_t *out_len, const void *in, size_t *in_len,
		const LZ4F_decompressOptions_t *options),
	(context, out, out_len, in, in_len, options), (size_t)-1)
FUNCTION(LIBRARY_LZ4, unsigned, LZ4F_isError, (LZ4F_errorCode_t code), (code), 1)
FUNCTION(
	LIBRARY_LZ4, const char *, LZ4F_getErrorName, (LZ4F_errorCode_t code), (code), "no library")

#define MBED(type, name, parameters, arguments, failed)                                            \
	FUNCTION(LIBRARY_MBEDCRYPTO, type, name, parameters, arguments, failed)
#define MBED_PROCEDURE(name, parameters, arguments)                                                \
	PROCEDURE(LIBRARY_MBEDCRYPTO, name, parameters, arguments)

MBED(const mbedtls_md_info_t *, mbedtls_md_info_from_type, (mbedtls_md_type_t type), (type), NULL)
MBED_PROCEDURE(mbedtls_md_init, (mbedtls_md_context_t * context), (context))
MBED_PROCEDURE(mbedtls_md_free, (mbedtls_md_context_t * context), (context))
MBED(int, mbedtls_md_setup,
	(mbedtls_md_context_t * context, const mbedtls_md_info_t *info, int hmac),
	(context, info, hmac), MBEDTLS_ERR_MD_ALLOC_FAILED)
MBED(int, mbedtls_md_starts, (mbedtls_md_context_t * context), (context),
	MBEDTLS_ERR_MD_ALLOC_FAILED)
MBED(int, mbedtls_md_update,
	(mbedtls_md_context_t * context, const unsigned char *data, size_t len),
	(context, data, len), MBEDTLS_ERR_MD_ALLOC_FAILED)
MBED(int, mbedtls_md_finish, (mbedtls_md_context_t * context, unsigned char *out), (context, out),
	MBEDTLS_ERR_MD_ALLOC_FAILED)

MBED_PROCEDURE(mbedtls_pk_init, (mbedtls_pk_context * key), (key))
MBED_PROCEDURE(mbedtls_pk_free, (mbedtls_pk_context * key), (key))
MBED(const mbedtls_pk_info_t *, mbedtls_pk_info_from_type, (mbedtls_pk_type_t type), (type), NULL)
MBED(int, mbedtls_pk_setup, (mbedtls_pk_context * key, const mbedtls_pk_info_t *info), (key, info),
	MBEDTLS_ERR_PK_ALLOC_FAILED)
MBED(mbedtls_pk_type_t, mbedtls_pk_get_type, (const mbedtls_pk_context *key), (key),
	MBEDTLS_PK_NONE)
MBED(size_t, mbedtls_pk_get_bitlen, (const mbedtls_pk_context *key), (key), 0)
MBED(int, mbedtls_pk_parse_subpubkey,
	(unsigned char **at, const unsigned char *end, mbedtls_pk_context *key), (at, end, key),
	MBEDTLS_ERR_PK_ALLOC_FAILED)
MBED(int, mbedtls_pk_verify,
	(mbedtls_pk_context * key, mbedtls_md_type_t md, const unsigned char *hash, size_t hash_len,
		const unsigned char *value, size_t len),
	(key, md, hash, hash_len, value, len), MBEDTLS_ERR_PK_ALLOC_FAILED)
MBED(int, mbedtls_pk_verify_ext,
	(mbedtls_pk_type_t type, const void *options, mbedtls_pk_context *key, mbedtls_md_type_t md,
		const unsigned char *hash, size_t hash_len, const unsigned char *value, size_t len),
	(type, options, key, md, hash, hash_len, value, len), MBEDTLS_ERR_PK_ALLOC_FAILED)
MBED(int, mbedtls_rsa_import_raw,
	(mbedtls_rsa_context * rsa, const unsigned char *n, size_t n_len, const unsigned char *p,
		size_t p_len, const unsigned char *q, size_t q_len, const unsigned char *d,
		size_t d_len, const unsigned char *e, size_t e_len),
	(rsa, n, n_len, p, p_len, q, q_len, d, d_len, e, e_len), MBEDTLS_ERR_PK_ALLOC_FAILED)
MBED(int, mbedtls_rsa_complete, (mbedtls_rsa_context * rsa), (rsa), MBEDTLS_ERR_PK_ALLOC_FAILED)
MBED(int, mbedtls_rsa_check_pubkey, (const mbedtls_rsa_context *rsa), (rsa),
	MBEDTLS_ERR_PK_ALLOC_FAILED)
MBED(int, mbedtls_asn1_get_tag,
	(unsigned char **at, const unsigned char *end, size_t *len, int tag), (at, end, len, tag),
	MBEDTLS_ERR_ASN1_ALLOC_FAILED)
MBED(int, mbedtls_base64_decode,
	(unsigned char *to, size_t room, size_t *len, const unsigned char *from, size_t from_len),
	(to, room, len, from, from_len), MBEDTLS_ERR_BASE64_INVALID_CHARACTER)
