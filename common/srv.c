/* Read by hand: the records of c-ares come without their time to live.
 */
#include "common/srv.h"

#include <ares.h>
#include <string.h>
#include <strings.h>

#define DNS_HEADER_BYTES 12
#define DNS_RECORD_BYTES 10 /* after the name: type, class, ttl, length */
#define SRV_BYTES        6  /* before the target */

struct srv_reader {
	const uint8_t *bytes;
	size_t len;
	size_t at;
};

static uint16_t srv_number(const struct srv_reader *reader, size_t at)
{
	return (uint16_t)(reader->bytes[at] << 8 | reader->bytes[at + 1]);
}

/* The name at this place, up to its end there. Returns -1 when there is none. */
static int srv_name(const struct srv_reader *reader, size_t at, char *name_r, size_t *bytes_r)
{
	char *name;
	long bytes;

	if (at >= reader->len ||
		ares_expand_name(reader->bytes + at, reader->bytes, (int)reader->len, &name,
			&bytes) != ARES_SUCCESS)
		return -1;
	if (name_r != NULL) {
		strncpy(name_r, name, SRV_TARGET_MAX - 1);
		name_r[SRV_TARGET_MAX - 1] = '\0';
	}
	ares_free_string(name);
	*bytes_r = (size_t)bytes;
	return 0;
}

static int srv_skip(struct srv_reader *reader, size_t more)
{
	size_t bytes;

	if (srv_name(reader, reader->at, NULL, &bytes) == -1 ||
		reader->len - reader->at < bytes + more)
		return -1;
	reader->at += bytes;
	return 0;
}

static int srv_record(struct srv_reader *reader, struct srv_record *record_r, uint32_t *ttl_s_r)
{
	size_t data, data_bytes, bytes;

	record_r->port = 0;
	if (srv_skip(reader, DNS_RECORD_BYTES) == -1)
		return -1;
	data = reader->at + DNS_RECORD_BYTES;
	data_bytes = srv_number(reader, reader->at + 8);
	if (reader->len - data < data_bytes)
		return -1;
	if (srv_number(reader, reader->at) == SRV_TYPE && data_bytes > SRV_BYTES) {
		if (srv_name(reader, data + SRV_BYTES, record_r->target, &bytes) == -1)
			return -1;
		record_r->priority = srv_number(reader, data);
		record_r->weight = srv_number(reader, data + 2);
		record_r->port = srv_number(reader, data + 4);
		*ttl_s_r = (uint32_t)srv_number(reader, reader->at + 4) << 16 |
			srv_number(reader, reader->at + 6);
		if (record_r->target[0] == '\0')
			record_r->port = 0;
	}
	reader->at = data + data_bytes;
	return 0;
}

int srv_parse(const uint8_t *bytes, size_t len, struct srv_record *records, size_t max, size_t *n_r,
	uint32_t *ttl_s_r)
{
	struct srv_reader reader = { bytes, len, DNS_HEADER_BYTES };
	struct srv_record record;
	uint32_t ttl_s = 0;

	*n_r = 0;
	if (len < DNS_HEADER_BYTES)
		return -1;
	for (unsigned i = srv_number(&reader, 4); i > 0; i--) {
		if (srv_skip(&reader, 4) == -1)
			return -1;
		reader.at += 4;
	}
	for (unsigned i = srv_number(&reader, 6); i > 0 && *n_r < max; i--) {
		if (srv_record(&reader, &record, &ttl_s) == -1)
			return -1;
		if (record.port == 0)
			continue;
		records[(*n_r)++] = record;
		if (ttl_s < *ttl_s_r)
			*ttl_s_r = ttl_s;
	}
	return 0;
}
