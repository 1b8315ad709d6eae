/* From the nodes of a document to a draft, by the rows of the key table.
 */
#ifndef PROXYD_CONF_READ_H
#define PROXYD_CONF_READ_H

#include "conf/node.h"

/* The whole of a file. */
void read_file(const struct source *source, const yaml_node_t *root);

/* A list of addresses, or one, as the row says; also for the predecessor's file. */
void read_addresses(const struct source *source, const struct conf_key *key,
	const yaml_node_t *node, struct draft_addresses *addresses_r);

/* A list of networks, or one. An empty one is NULL. */
void read_cidrs(const struct source *source, const struct conf_key *key, const yaml_node_t *node,
	const struct cidrs **cidrs_r);

/* Say what a row takes, and what stands there instead. */
void read_wrong(const struct source *source, const struct conf_key *key, const yaml_node_t *node);

/* Say that a key is not known, and which may have been meant; inherited: only rows that `defaults` may hold
 * are known here. Returns the row that was probably meant, or NULL. */
const struct conf_key *read_unknown(const struct source *source, const yaml_node_t *node,
	const struct conf_table *const *tables, size_t ntables, bool inherited);

/* The predecessor's file, whose top level is `Apps`. */
bool apps_is(const struct source *source, const yaml_node_t *root);
void apps_read(const struct source *source, const yaml_node_t *root);

#endif
