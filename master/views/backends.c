/* What is shown of backends: how many of their servers can serve, who waits, what came.
 */
#include "common/instances.h"
#include "common/shm.h"
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
static void backend_servers(const struct view_source *source, const struct conf_backend *backend,
	uint64_t *servers_r, uint64_t *serving_r)
{
	*servers_r = *serving_r = 0;
	for (size_t i = 0; i < backend->nservers; i++) {
		const struct conf_server *server = &backend->servers[i];
		const uint32_t place = server->place;
		const uint32_t health = shm_checker(source->shm)->servers[place].health;
		const struct shm_admin *admin = &shm_master(source->shm)->admin[place];
		struct instance instance = { 0 };

		if (server->dynamic && !instance_read(source->shm, place, &instance))
			continue;
		++*servers_r;
		*serving_r += (server->dynamic || server->naddrs > 0) && health != HEALTH_DOWN &&
			admin->state == ADMIN_READY &&
			instance_weight(&instance, admin->weight, server->weight) > 0;
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
	backend = &source->conf->backends[cursor->outer++];
	backend_servers(source, backend, &servers, &serving);
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
