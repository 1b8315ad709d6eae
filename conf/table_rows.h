/* How the rows of the key table are written. Only the files that hold them include it.
 */
#ifndef PROXYD_CONF_TABLE_ROWS_H
#define PROXYD_CONF_TABLE_ROWS_H

#include <stddef.h>

#include "common/must.h"
#include "conf/conf.h"
#include "conf/draft.h"
#include "conf/table.h"

#define MS     1u
#define SECOND (1000 * MS)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

/* A span in milliseconds stays below 2^31. */
#define SPAN_MAX (24 * DAY)

/* Far more than a machine has, far below 2^32: sums of a few do not overflow. */
#define CONNECTIONS_MAX 100000000

#define TABLE(text, rows)                                                                          \
	{                                                                                          \
		.what = (text), .keys = (rows), .nkeys = NELEMS(rows)                              \
	}
#define FIELD(type, member) .offset = offsetof(struct type, member)

#endif
