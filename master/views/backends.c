/* What is shown of backends: how many of their servers can serve, who waits, what came.
 */
#include "common/instances.h"
#include "common/server_state.h"
#include "common/sums.h"
#include "conf/conf.h"
#include "master/views/views.h"

static const struct view_column backends_columns[] = {
	{ "name", "BACKEND", VIEW_TEXT },
	{ "state", "STATE", VIEW_TEXT }, /* up while one of its servers can be chosen, else down */
	{ "balance", "BALANCE", VIEW_TEXT },
	{ "servers", "SERVERS", VIEW_COUNT },
	{ "serving", "SERVING", VIEW_COUNT },
	{ "active", "ACTIVE", VIEW_COUNT },
	{ "queued", "QUEUED", VIEW_COUNT },
	{ "total", "TOTAL", VIEW_COUNT },
	{ "failed", "FAILED", VIEW_COUNT },
	{ "queue_full", "SENT AWAY", VIEW_COUNT },
	{ "bytes_in", "IN", VIEW_BYTES },
	{ "bytes_out", "OUT", VIEW_BYTES },
};

/* What a name stands for has as many servers as it has addresses now. */
static void backend_servers(const struct view_source *source, uint32_t backend, uint64_t *servers_r,
	uint64_t *serving_r)
{
	struct view_cursor cursor = { .outer = backend };
	const struct conf_server *server;
	struct instance instance;

	*servers_r = *serving_r = 0;
	while ((server = view_server_next(source, &cursor, &instance)) != NULL) {
		++*servers_r;
		*serving_r += server_is_usable(source->shm, server->place);
	}
}

static enum view_step backends_next(
	const struct view_source *source, struct view_cursor *cursor, struct view_row *row_r)
{
	const struct conf_backend *backend;
	struct shm_server_sum sum;
	uint64_t servers;
	uint64_t serving;

	if (cursor->outer >= source->conf->nbackends)
		return VIEW_END;
	backend_servers(source, cursor->outer, &servers, &serving);
	backend = &source->conf->backends[cursor->outer++];
	shm_sum_backend(source->shm, backend->place, &sum);
	view_text(row_r, backend->name);
	view_text(row_r, serving > 0 ? "up" : "down");
	view_text(row_r, conf_balance_name(backend->balance));
	view_number(row_r, servers);
	view_number(row_r, serving);
	view_number(row_r, sum.active);
	view_number(row_r, sum.queued);
	view_number(row_r, sum.total);
	view_number(row_r, sum.failed);
	view_number(row_r, sum.queue_full);
	view_number(row_r, sum.bytes_in);
	view_number(row_r, sum.bytes_out);
	return VIEW_ROW;
}

const struct view view_backends = {
	.columns = backends_columns,
	.ncolumns = NELEMS(backends_columns),
	.spare = "queue_full failed bytes_in bytes_out balance",
	.next = backends_next,
};
