/* What the master adds to a configuration: places in shared memory, what the file wants of servers there, addresses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/shm.h"
#include "conf/conf.h"
#include "conf/load.h"
#include "master/hosts.h"
#include "master/place.h"

static const char text[] =
	"frontends: {a: {bind: ':80', backend: b}}\n"
	"backends:\n"
	"  b:\n"
	"    check: {type: tcp}\n"
	"    servers:\n"
	"      plain: 10.0.0.1:1\n"
	"      drained: {address: '10.0.0.2:1', state: drain, weight: 0, "
	"check_address: 'localhost:2'}\n"
	"      away: {address: 'localhost:3', state: maint, weight: 256, maxconn: 9, "
	"check_address: '10.0.0.3:4'}\n";

static struct conf *load(void)
{
	struct conf_errors errors = { 0 };
	struct conf *conf = conf_load_text("test", text, strlen(text), NULL, &errors);

	conf_errors_print(&errors, stderr);
	assert_non_null(conf);
	return conf;
}

static void test_admin(void **state)
{
	static const struct {
		enum admin_state state;
		uint32_t weight;
		uint32_t maxconn;
	} expected[] = { { ADMIN_READY, 1, 0 }, { ADMIN_DRAIN, 0, 0 }, { ADMIN_MAINT, 256, 9 } };
	const char *error = NULL;
	struct conf *conf = load();
	struct shm *shm = shm_create(16, &error);

	(void)state;
	assert_non_null(shm);
	assert_int_equal(place_objects(conf, shm), 0);
	place_commit(conf, shm, 1);
	for (size_t i = 0; i < NELEMS(expected); i++) {
		const struct conf_server *server = &conf->backends[0].servers[i];
		struct shm_admin *admin = &shm_master(shm)->admin[server->place];

		assert_int_equal(server->place, i);
		assert_int_equal(admin->state, expected[i].state);
		assert_int_equal(admin->weight, expected[i].weight);
		assert_int_equal(admin->maxconn, expected[i].maxconn);
	}
	shm_free(shm);
	conf_free(conf);
}

static void assert_ports(const struct sockaddr_any *addrs, size_t n, uint16_t port)
{
	assert_true(n > 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(sockaddr_port(&addrs[i]), port);
}

static void test_hosts(void **state)
{
	struct conf *conf = load();
	struct hosts *hosts = hosts_resolve(conf);
	const struct conf_server *servers = conf->backends[0].servers;

	(void)state;
	assert_non_null(hosts);
	assert_false(servers[0].has_check_address);
	assert_int_equal(servers[0].ncheck_addrs, 0);
	assert_ports(servers[0].addrs, servers[0].naddrs, 1);
	assert_ports(servers[1].addrs, servers[1].naddrs, 1);
	assert_ports(servers[1].check_addrs, servers[1].ncheck_addrs, 2);
	assert_ports(servers[2].addrs, servers[2].naddrs, 3);
	assert_ports(servers[2].check_addrs, servers[2].ncheck_addrs, 4);
	hosts_free(hosts);
	conf_free(conf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_admin),
		cmocka_unit_test(test_hosts),
	};

	return cmocka_run_group_tests_name("place", tests, NULL, NULL);
}
