/* Configurations as texts: what they load to, and what is wrong with them.
 */
#ifndef PROXYD_TESTS_UNIT_CONF_TEXTS_H
#define PROXYD_TESTS_UNIT_CONF_TEXTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/cidrs.h"
#include "conf/conf.h"
#include "conf/load.h"

struct out {
	FILE *file;
	char *text;
	size_t len;
};

static inline void out_open(struct out *out)
{
	*out = (struct out){ 0 };
	out->file = open_memstream(&out->text, &out->len);
	assert_non_null(out->file);
}

static inline char *out_close(struct out *out)
{
	fclose(out->file);
	return out->text;
}

static inline char *dump(const struct conf *conf)
{
	struct out out;

	out_open(&out);
	conf_dump(conf, out.file);
	return out_close(&out);
}

static inline struct conf *load(const char *text, struct conf_errors *errors)
{
	return conf_load_text("test", text, strlen(text), NULL, errors);
}

static inline struct conf *load_good(const char *text)
{
	struct conf_errors errors = { 0 };
	struct conf *conf = load(text, &errors);

	conf_errors_print(&errors, stderr);
	assert_non_null(conf);
	assert_int_equal(errors.count, 0);
	return conf;
}

/* All errors as one text, for the caller to free; text must not load. */
static inline char *load_bad(const char *text)
{
	struct conf_errors errors = { 0 };
	struct out out;

	assert_null(load(text, &errors));
	assert_true(errors.count > 0);
	out_open(&out);
	conf_errors_print(&errors, out.file);
	conf_errors_free(&errors);
	return out_close(&out);
}

static inline void assert_bad(const char *text, const char *expected)
{
	char *errors = load_bad(text);

	assert_string_equal(errors, expected);
	free(errors);
}

/* The dump loads, and is then dumped as the same text. */
static inline void assert_dump_loads(const char *name, const char *text)
{
	struct conf_errors errors = { 0 };
	struct conf *conf = conf_load_text(name, text, strlen(text), NULL, &errors);
	char *again;

	conf_errors_print(&errors, stderr);
	assert_non_null(conf);
	again = dump(conf);
	assert_string_equal(again, text);
	free(again);
	conf_free(conf);
}

static inline bool is_in(const struct cidrs *cidrs, const char *host)
{
	struct sockaddr_any addr;

	assert_int_equal(sockaddr_from_literal(host, 1, &addr), 0);
	return cidrs_match(cidrs, &addr);
}

#endif
