/* The key table: one row for every key of the file. The reader, the range checks, the defaults and the
 * normalised dump come from the rows; what several keys say together is conf/check.c's.
 */
#ifndef PROXYD_CONF_TABLE_H
#define PROXYD_CONF_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/address.h"

/* What a row's field holds. A comment names the field's type. */
enum conf_type {
	CONF_BOOL,    /* bool */
	CONF_COUNT,   /* uint32_t, min to max */
	CONF_WORKERS, /* uint32_t, the same, or `auto` for the number of online CPUs */
	CONF_SPAN, /* uint32_t milliseconds, min to max; also 0 where zero says what that means, and
		      * one of words where it has some */
	CONF_EVER, /* the same, but 0 is CONF_FOREVER */
	CONF_WORD, /* an enum: one of words */
	CONF_TEXT, /* const char *, min to max bytes */
	CONF_MODE, /* uint32_t: permissions of a file, octal */
	CONF_SINK, /* const char *: one of words, or a path */
	CONF_CHOICE,   /* const char *: one of words */
	CONF_URL_PATH, /* const char *: a / and what else may stand in the first line of a request */
	CONF_URL_HOST,  /* const char *: the same characters, or nothing */
	CONF_STATUSES,  /* struct conf_check_http: its ranges of statuses */
	CONF_BYTES,     /* struct conf_bytes, min to max of them, with C escapes */
	CONF_LITERAL,   /* struct sockaddr_any: an IPv4 or IPv6 address without a port, "": none */
	CONF_CIDRS,     /* const struct cidrs *: a list, empty: NULL */
	CONF_ADDRESS,   /* struct address */
	CONF_ADDRESSES, /* struct draft_addresses: one, or a list */
	CONF_SECTION,   /* the struct that the rows of section describe */
	CONF_OBJECTS,   /* NAME: what the rows of section describe; read by the owner of the row */
};

/* What a reload that changes the key has to replace. */
enum conf_change {
	CHANGE_NOTHING, /* the master alone looks at it */
	CHANGE_WORKERS,
	CHANGE_LISTENERS,
	CHANGE_RESTART, /* of the daemon */
};

/* The first word of a value is the one that the dump writes. */
struct conf_word {
	const char *name;
	uint32_t value;
};

struct conf_table;

struct conf_key {
	const char *name;
	const char *description;
	const char *value; /* the default, as the file would have it; NULL: none */
	const char *unit;  /* for people; NULL: none */
	enum conf_type type;
	enum conf_change change;
	size_t offset; /* of the field in the struct of the table */
	uint32_t min;
	uint32_t max;
	const char *zero;     /* CONF_SPAN, CONF_EVER: what 0 means; NULL: it is out of range */
	bool inherit;         /* may stand in `defaults` */
	bool optional;        /* CONF_ADDRESS: "" is none, without a text */
	enum address_use use; /* CONF_ADDRESS, CONF_ADDRESSES */
	const struct conf_word *words; /* up to one without a name */
	const struct conf_table *section;
};

struct conf_table {
	const char *what; /* "a frontend": for messages */
	const struct conf_key *keys;
	size_t nkeys;
};

#define CONF_KEYS_MAX 16 /* of one table */

/* The rows that the checks across keys speak of. The order is the dump's. */
enum { TOP_GLOBAL, TOP_DEFAULTS, TOP_FRONTENDS, TOP_BACKENDS, TOP_KEYS };
enum {
	FRONTEND_BIND,
	FRONTEND_BACKEND,
	FRONTEND_FORWARD,
	FRONTEND_SERVICE,
	FRONTEND_MESSAGE,
	FRONTEND_PROTOCOL,
	FRONTEND_MAXCONN,
	FRONTEND_ALLOW,
	FRONTEND_DENY,
	FRONTEND_LIMITS,
	FRONTEND_TCP,
	FRONTEND_TIMEOUTS,
	FRONTEND_KEYS
};
enum {
	BACKEND_BALANCE,
	BACKEND_RANDOM_DRAWS,
	BACKEND_SERVERS,
	BACKEND_CHECK,
	BACKEND_PASSIVE,
	BACKEND_RETRIES,
	BACKEND_MAXQUEUE,
	BACKEND_SLOWSTART,
	BACKEND_ON_DOWN,
	BACKEND_SOURCE,
	BACKEND_TIMEOUTS,
	BACKEND_KEYS
};
enum {
	SERVER_ADDRESS,
	SERVER_WEIGHT,
	SERVER_MAXCONN,
	SERVER_BACKUP,
	SERVER_STATE,
	SERVER_CHECK_ADDRESS,
	SERVER_RESOLVE,
	SERVER_SRV,
	SERVER_KEYS
};
enum {
	CHECK_KEY_TYPE,
	CHECK_KEY_INTER,
	CHECK_KEY_FASTINTER,
	CHECK_KEY_DOWNINTER,
	CHECK_KEY_TIMEOUT,
	CHECK_KEY_RISE,
	CHECK_KEY_FALL,
	CHECK_KEY_SPREAD,
	CHECK_KEY_HTTP,
	CHECK_KEY_SEND,
	CHECK_KEY_EXPECT,
	CHECK_KEYS
};

extern const struct conf_table conf_top_table;
extern const struct conf_table conf_global_table;   /* of struct conf_global */
extern const struct conf_table conf_frontend_table; /* of struct draft_frontend */
extern const struct conf_table conf_backend_table;  /* of struct draft_backend */
extern const struct conf_table conf_server_table;   /* of struct draft_server */
extern const struct conf_table conf_check_table;    /* of struct conf_check */

/* The row called name, or NULL. */
const struct conf_key *table_find(const struct conf_table *table, const char *name);

/* The name of a value, or NULL when no word has it. */
const char *word_name(const struct conf_word *words, uint32_t value);

#endif
