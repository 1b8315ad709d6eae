/* What the daemon shows of itself, row by row: from the configuration and the shared memory to cells, which
 * views_table.c prints for people and views_json.c for programs. One description serves both.
 *
 * A view is read in steps, so that a hundred thousand sessions neither fill the memory nor hold the loop up.
 */
#ifndef PROXYD_MASTER_VIEWS_VIEWS_H
#define PROXYD_MASTER_VIEWS_VIEWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/must.h"
#include "common/sockaddr.h"

struct conf;
struct conf_diff;
struct conf_server;
struct generations;
struct instance;
struct reload_last;
struct shm;

#define VIEW_COLUMNS_MAX 32
#define VIEW_NUMBERS_MAX 256 /* in one row, of all its lists and objects of numbers */
#define VIEW_SCRATCH     256

enum view_kind {
	VIEW_TEXT,
	VIEW_COUNT,
	VIEW_BYTES,
	VIEW_MS,
	VIEW_SECONDS,
	VIEW_US,
	VIEW_RATE,       /* a second; floating point */
	VIEW_BYTES_RATE, /* bytes a second, the same */
	VIEW_LIST,       /* of texts */
	VIEW_RATES,      /* a list of floating point numbers; in a table, a curve */
	VIEW_NUMBERS,    /* a list of numbers; the same */
	VIEW_COUNTS,     /* an object of numbers */
};

struct view_column {
	const char *name;    /* in JSON; "a.b" is b in an object a */
	const char *heading; /* of a table; NULL: in JSON alone */
	enum view_kind kind;
};

/* Borrowed, until the next row. */
struct view_cell {
	bool none; /* of every kind: there is none, in JSON null */
	uint64_t number;
	double real;
	const char *text; /* NULL: none, the same */
	const char *(*item)(
		const void *list, size_t index); /* of COUNTS: their keys, list is NULL */
	const void *list;
	const union view_number *numbers;
	size_t count;
};

union view_number {
	uint64_t number;
	double real; /* in VIEW_RATES */
};

struct view_row {
	size_t ncells;
	struct view_cell cells[VIEW_COLUMNS_MAX];
	char scratch[VIEW_SCRATCH];      /* for texts that lie nowhere else */
	char address[SOCKADDR_TEXT_MAX]; /* the same */
	size_t nnumbers;
	union view_number numbers[VIEW_NUMBERS_MAX]; /* of lists and objects; view_numbers */
};

/* All borrowed. */
struct view_source {
	const struct conf *conf;
	struct shm *shm;
	const struct generations *generations; /* NULL: there are none to show */
	const struct reload_last *last_reload; /* NULL: the same */
	const struct conf_diff *diff;          /* of view_diff */
	bool stopping;
	uint32_t control_clients; /* of the control socket, now */
};

/* Where to go on; zero at first. */
struct view_cursor {
	uint32_t stage;
	uint32_t outer;
	uint32_t inner;
};

enum view_step {
	VIEW_ROW,
	VIEW_PAUSE, /* long enough for one turn; call again */
	VIEW_END,
};

typedef enum view_step view_next_fn(
	const struct view_source *source, struct view_cursor *cursor, struct view_row *row_r);

struct view {
	const struct view_column *columns;
	size_t ncolumns;
	bool single; /* one row: an object, and one line for each of its columns */
	/* Names of columns with blanks in between: a terminal that is too narrow goes without them, without the first
	 * ones first. NULL: without the last columns. */
	const char *spare;
	view_next_fn *next;
};

extern const struct view view_status;
extern const struct view view_frontends;
extern const struct view view_backends;
extern const struct view view_servers;
extern const struct view view_workers;
extern const struct view view_sessions;
extern const struct view view_generations;
extern const struct view view_stats;
extern const struct view view_history;
extern const struct view view_limits;
extern const struct view view_events;
extern const struct view view_diff; /* conf is the one that serves */

/* For those who fill a row: the next cell. */
void view_none(struct view_row *row);
void view_text(struct view_row *row, const char *text);
void view_number(struct view_row *row, uint64_t number);
void view_real(struct view_row *row, double real);

/* The same for a list or an object of numbers: where to write them. item gives the keys of an object. */
union view_number *view_numbers(struct view_row *row, size_t count);
union view_number *view_counts(
	struct view_row *row, const char *(*item)(const void *none, size_t index), size_t count);
void view_list(struct view_row *row, const char *(*item)(const void *list, size_t index),
	const void *list, size_t count);

/* From then to now; what lies in the future (a worker may write anything) was just now. */
uint64_t view_since_ms(uint64_t now_ms, uint64_t then_ms);

/* 2026-01-31T23:59:59Z. Returns buf. */
const char *view_format_wall(uint64_t wall_s, char *buf, size_t bytes);

/* "up", "down", "drain", "maint" or "nocheck". */
const char *view_server_state(const struct view_source *source, uint32_t place);

/* The next server of a backend (cursor: outer, inner) that there is now; an instance of a name exists while it has an
 * address. NULL after the last one of the backend. */
const struct conf_server *view_server_next(
	const struct view_source *source, struct view_cursor *cursor, struct instance *instance_r);

/* The next worker, by number. Returns its slot, SHM_NONE after the last one. */
uint32_t view_worker_next(
	const struct view_source *source, struct view_cursor *cursor, const char **state_r);

/* "starting", "serving", "draining" or "hung": of a slot whose worker lives, or comes; and whether it does. */
bool view_slot_state(const struct view_source *source, uint32_t slot, const char **state_r);

#endif
