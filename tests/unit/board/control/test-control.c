/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket: its clients, its commands and events, against a machine that is faked here down
 * to its windows.
 */
#include "tests/unit/helpers/control-bench.h"

#include <linux/virtio_balloon.h>

/* Commands. */

static void commands_answer(void **state)
{
	struct peer *peer = peer_ready();
	json_t *line;

	assert_answer(peer, "{'execute':'query-status'}",
		"{'return':{'running':true,'status':'running'}}");
	/* A reset is no pause: QEMU's machine runs through it. */
	fake_state = MACHINE_RESETTING;
	assert_answer(peer, "{'execute':'query-status'}",
		"{'return':{'running':true,'status':'running'}}");
	fake_state = MACHINE_PAUSED;
	assert_answer(peer, "{'execute':'query-status'}",
		"{'return':{'running':false,'status':'paused'}}");
	fake_state = MACHINE_FAILED;
	assert_answer(peer, "{'execute':'query-status'}",
		"{'return':{'running':false,'status':'internal-error'}}");
	fake_state = MACHINE_OFF;
	assert_answer(peer, "{'execute':'query-status'}",
		"{'return':{'running':false,'status':'shutdown'}}");
	fake_state = MACHINE_STOPPED;
	assert_answer(peer, "{'execute':'query-status'}",
		"{'return':{'running':false,'status':'internal-error'}}");
	fake_vmem[0].info.requested_bytes = 512 * MiB;
	fake_vmem[0].info.plugged_bytes = 2 * MiB;
	assert_answer(peer, "{'execute':'query-memory-devices','id':1}",
		"{'return':[{'type':'virtio-mem','data':{'id':'vmem0','memaddr':4294967296,"
		"'requested-size':536870912,'size':2097152,'max-size':1073741824,"
		"'block-size':2097152,'node':0,'memdev':'/objects/vmem0'}},"
		"{'type':'virtio-mem','data':{'id':'vmem1','memaddr':8589934592,"
		"'requested-size':0,'size':0,'max-size':1073741824,"
		"'block-size':2097152,'node':1,'memdev':'/objects/vmem1'}}],'id':1}");
	peer_send(peer, "{\"execute\":\"query-commands\"}");
	line = peer_line(peer, 1000, NULL);
	assert_int_equal(json_array_size(json_object_get(line, "return")), 23);
	json_decref(line);
	peer_close(peer);
}

/* There is none, and the callers go on without. */
static void no_capabilities(void **state)
{
	struct peer *peer = peer_connect();

	json_decref(peer_line(peer, 1000, NULL));
	assert_answer(peer, "{'execute':'qmp_capabilities','arguments':{'enable':['oob']}}",
		"{'error':{'class':'GenericError','desc':'Capability oob is not available'}}");
	assert_answer(peer, "{'execute':'qmp_capabilities','arguments':{'enable':[7]}}",
		"{'error':{'class':'GenericError','desc':'Capability (not a string) is not "
		"available'}}");
	assert_answer(
		peer, "{'execute':'qmp_capabilities','arguments':{'enable':[]}}", "{'return':{}}");
	peer_close(peer);
}

static void balloon(void **state)
{
	struct peer *peer = peer_ready();
	json_t *line;

	assert_answer(peer, "{'execute':'query-balloon'}",
		"{'return':{'actual':268435456,'x-sluice-requested':268435456,'x-sluice-id':'"
		"balloon0',"
		"'x-sluice-given-back':0,'x-sluice-memory':268435456}}");
	assert_answer(
		peer, "{'execute':'balloon','arguments':{'value':100000000}}", "{'return':{}}");
	assert_int_equal(fake_balloon_requested, 256 * MiB - 100000000);
	fake_balloon_change(MiB);
	assert_answer(peer, "", "{'event':'BALLOON_CHANGE','data':{'actual':267386880}}");
	assert_answer(peer, "{'execute':'query-balloon'}",
		"{'return':{'actual':267386880,'x-sluice-requested':100000000,'x-sluice-id':'"
		"balloon0',"
		"'x-sluice-given-back':0,'x-sluice-memory':268435456}}");
	/* More than there is: an empty balloon. More than there can be: nothing left. */
	assert_answer(peer, "{'execute':'balloon','arguments':{'value':9000000000000000000}}",
		"{'return':{}}");
	assert_int_equal(fake_balloon_requested, 0);
	fake_balloon_actual = UINT64_MAX;
	fake_vmem[1].info.plugged_bytes = 256 * MiB;
	assert_answer(peer, "{'execute':'query-balloon'}",
		"{'return':{'actual':0,'x-sluice-requested':536870912,'x-sluice-memory':536870912,"
		"'x-sluice-id':'balloon0','x-sluice-given-back':0}}");
	peer_send(peer, "{\"execute\":\"balloon\",\"arguments\":{\"value\":0}}");
	line = peer_line(peer, 1000, NULL);
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(line, "error"), "desc")),
		"Parameter 'target' expects a size");
	json_decref(line);
	assert_int_equal(fake_balloon_requested, 0);
	fake_no_balloon = true;
	assert_answer(peer, "{'execute':'query-balloon'}",
		"{'error':{'class':'DeviceNotActive','desc':'No balloon device has been "
		"activated: the tree of this machine has no sluice,virtio-balloon node'}}");
	peer_close(peer);
}

static void properties_get_and_set(void **state)
{
#define AT_VMEM0 "'arguments':{'path':'/machine/peripheral/vmem0','property':"
	static const char *const bad[][2] = {
		{ "qom-set','arguments':{'path':'/machine/peripheral/"
		  "vmem9','property':'requested-size','value':0}",
			"DeviceNotFound','desc':'Device ~/machine/peripheral/vmem9~ not found" },
		{ "qom-set'," AT_VMEM0 "'requested-size','value':-2097152}",
			"GenericError','desc':'Parameter ~requested-size~ expects a size of 0 or "
			"more" },
		{ "qom-set'," AT_VMEM0 "'requested-size','value':'2M'}",
			"GenericError','desc':'Invalid parameter type for ~requested-size~, "
			"expected: integer" },
		{ "qom-set','arguments':{'path':'net0','property':'x-sluice-link','value':1}",
			"GenericError','desc':'Invalid parameter type for ~x-sluice-link~, "
			"expected: boolean" },
		{ "qom-set'," AT_VMEM0 "'requested-size','value':true}",
			"GenericError','desc':'Invalid parameter type for ~requested-size~, "
			"expected: integer" },
		{ "qom-set'," AT_VMEM0 "'type','value':0}",
			"GenericError','desc':'Property ~sluice,virtio-mem.type~ not found" },
		{ "qom-list','arguments':{'path':'/machine/peripheral/vmem9'}",
			"DeviceNotFound','desc':'Device ~/machine/peripheral/vmem9~ not found" },
		{ "qom-list','arguments':{'path':'/machine/peripherals'}",
			"DeviceNotFound','desc':'Device ~/machine/peripherals~ not found" },
		{ "qom-set'," AT_VMEM0 "'size','value':0}",
			"GenericError','desc':'Property ~sluice,virtio-mem.size~ is not writable" },
		{ "qom-get'," AT_VMEM0 "'colour'}",
			"GenericError','desc':'Property ~sluice,virtio-mem.colour~ not found" },
		{ "qom-get','arguments':{'path':'net0','property':'size'}",
			"GenericError','desc':'Property ~sluice,virtio-net.size~ not found" },
		{ "qom-set'," AT_VMEM0 "'requested-size'}",
			"GenericError','desc':'Parameter ~value~ is missing" },
	};
	static const struct {
		const char *name;
		uint64_t value;
	} properties[] = { { "requested-size", 4 * MiB }, { "size", 6 * MiB },
		{ "block-size", 2 * MiB }, { "region-size", GiB },
		{ "usable-region-size", 512 * MiB }, { "memaddr", 4 * GiB } };
	struct peer *peer = peer_ready();

	assert_answer(peer, "{'execute':'qom-set'," AT_VMEM0 "'requested-size','value':4194304}}",
		"{'return':{}}");
	assert_int_equal(fake_vmem[0].info.requested_bytes, 4 * MiB);
	assert_int_equal(fake_vmem[1].info.requested_bytes, 0);
	assert_answer(peer,
		"{'execute':'qom-set','arguments':{'path':'vmem1','property':'requested-size','"
		"value':1073741824}}",
		"{'return':{}}");
	assert_int_equal(fake_vmem[1].info.requested_bytes, GiB);
	fake_vmem[0].info.plugged_bytes = 6 * MiB;
	fake_vmem[0].info.usable_bytes = 512 * MiB;
	for (size_t i = 0; i < ARRAY_SIZE(properties); i++) {
		char request[200], answer[50];

		snprintf(request, sizeof(request), "{'execute':'qom-get'," AT_VMEM0 "'%s'}}",
			properties[i].name);
		snprintf(answer, sizeof(answer), "{'return':%llu}",
			(unsigned long long)properties[i].value);
		assert_answer(peer, request, answer);
	}
	assert_answer(
		peer, "{'execute':'qom-get'," AT_VMEM0 "'requested-size'}}", "{'return':4194304}");
	assert_answer(peer, "{'execute':'qom-get'," AT_VMEM0 "'size'}}", "{'return':6291456}");
	assert_answer(
		peer, "{'execute':'qom-get'," AT_VMEM0 "'region-size'}}", "{'return':1073741824}");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char request[300], answer[300];

		snprintf(request, sizeof(request), "{'execute':'%s}", bad[i][0]);
		snprintf(answer, sizeof(answer), "{'error':{'class':'%s'}}", bad[i][1]);
		for (char *c = answer; *c; c++) /* ' within a text is "'", through \u */
			*c = *c == '~' ? '\x01' : *c;
		for (char *c; (c = strchr(answer, '\x01'));) {
			memmove(c + 6, c + 1, strlen(c));
			memcpy(c, "\\u0027", 6);
		}
		assert_answer(peer, request, answer);
	}
	assert_int_equal(fake_vmem[0].info.requested_bytes, 4 * MiB);
	fake_request_error = -EBUSY;
	assert_answer(peer, "{'execute':'qom-set'," AT_VMEM0 "'requested-size','value':0}}",
		"{'error':{'class':'GenericError','desc':'\\u0027requested-size\\u0027 cannot "
		"be had'}}");
	fake_request_error = 0;
	assert_answer(peer, "{'execute':'qom-set'," AT_VMEM0 "'requested-size','value':0}}",
		"{'return':{}}");
	assert_int_equal(fake_vmem[0].info.requested_bytes, 0);
	peer_close(peer);
}

/* What qom-list names qom-get gives, of every device; and the devices are listed as children of their folder. */
static void every_value_is_listed(void **state)
{
	static const char *const folders[] = { "/machine/peripheral", "/machine/peripheral/" };
	struct peer *peer = peer_ready();
	unsigned values = 0;

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		char request[200];

		snprintf(request, sizeof(request), "{'execute':'qom-list','arguments':{'path':'%s'}}", folders[i]);
		assert_answer(peer, request,
			"{'return':[{'name':'vmem0','type':'child<sluice,virtio-mem>'},"
			"{'name':'net0','type':'child<sluice,virtio-net>'},"
			"{'name':'vmem1','type':'child<sluice,virtio-mem>'},"
			"{'name':'console0','type':'child<sluice,virtio-console>'},"
			"{'name':'disk0','type':'child<sluice,virtio-blk>'},"
			"{'name':'balloon0','type':'child<sluice,virtio-balloon>'}]}");
	}
	assert_answer(peer, "{'execute':'qom-list','arguments':{'path':'net0'}}",
		"{'return':[{'name':'type','type':'string'},{'name':'x-sluice-link','type':'bool'}]}");
	assert_answer(peer, "{'execute':'qom-list','arguments':{'path':'console0'}}",
		"{'return':[{'name':'type','type':'string'}]}");
	assert_answer(peer, "{'execute':'qom-get','arguments':{'path':'net0','property':'type'}}",
		"{'return':'sluice,virtio-net'}");
	fake_link = true;
	assert_answer(peer, "{'execute':'qom-get','arguments':{'path':'net0','property':'x-sluice-link'}}",
		"{'return':true}");
	assert_answer(peer, "{'execute':'qom-set','arguments':{'path':'net0','property':'x-sluice-link','value':false}}",
		"{'return':{}}");
	assert_false(fake_link);
	assert_answer(peer, "{'execute':'qom-get','arguments':{'path':'net0','property':'x-sluice-link'}}",
		"{'return':false}");
	for (size_t i = 0; i < machine_device_count(fake_machine); i++) {
		struct device *device = machine_device(fake_machine, i);

		for (const struct device_value *v = device->class->values; v && v->name; v++) {
			char line[300];
			json_t *answer;

			snprintf(line, sizeof(line),
				"{\"execute\":\"qom-get\",\"arguments\":{\"path\":\"%s\",\"property\":\"%s\"}}",
				device->id, v->name);
			peer_send(peer, line);
			answer = peer_line(peer, 1000, NULL);
			assert_non_null(json_object_get(answer, "return"));
			json_decref(answer);
			values++;
		}
	}
	assert_true(values > 15);
	peer_close(peer);
}

/* A guest's kernel that would run out of memory is not asked for it, unless the client insists. */
static void growth_is_bounded(void **state)
{
	struct peer *peer = peer_ready();

	fake_growth.carried_bytes = 512 * MiB;
	fake_host_memory.resident = 64 * MiB;
	assert_answer(peer,
		"{'execute':'qom-set'," AT_VMEM0 "'requested-size','value':1073741824}}",
		"{'error':{'class':'GenericError','desc':'\\u0027requested-size\\u0027: with 1 GiB "
		"the "
		"guest\\u0027s kernel would run out of memory: its 256 MiB of boot memory describe "
		"about "
		"512 MiB of plugged memory, page array and page tables, and 0 are asked for "
		"elsewhere. Give "
		"/memory more, or have the guest keep a part of plugged memory for its kernel "
		"(memory_hotplug.online_policy=auto-movable), or add the argument "
		"\\u0022x-sluice-force\\u0022: "
		"true'}}");
	assert_int_equal(fake_vmem[0].info.requested_bytes, 0);
	assert_answer(peer, "{'execute':'qom-set'," AT_VMEM0 "'requested-size','value':536870912}}",
		"{'return':{}}");
	assert_answer(peer, "{'execute':'x-sluice-query-memory'}",
		"{'return':{'boot-memory':268435456,'held':536870912,'guest-page':4096,'carried':"
		"536870912,"
		"'host-need':738197504,'host-available':68719476736}}");
	assert_answer(peer,
		"{'execute':'qom-set'," AT_VMEM0
		"'requested-size','value':1073741824,'x-sluice-force':true}}",
		"{'return':{}}");
	assert_int_equal(fake_vmem[0].info.requested_bytes, GiB);
	/* What would be needed if a window were asked for more, or for less than it has. */
	assert_answer(peer,
		"{'execute':'x-sluice-query-memory','arguments':{'path':'vmem1','requested-size':"
		"1048576}}",
		"{'return':{'boot-memory':268435456,'held':1073741824,'guest-page':4096,'carried':"
		"536870912,'host-need':1276116992,'host-available':68719476736}}");
	assert_answer(peer,
		"{'execute':'x-sluice-query-memory','arguments':{'path':'vmem0','requested-size':"
		"-1}}",
		"{'return':{'boot-memory':268435456,'held':1073741824,'guest-page':4096,'carried':"
		"536870912,'host-need':1275068416,'host-available':68719476736}}");
	assert_answer(peer,
		"{'execute':'x-sluice-query-memory','arguments':{'path':'vmem7','requested-size':1}}",
		"{'error':{'class':'DeviceNotFound','desc':'Device \\u0027vmem7\\u0027 not found'}}");
	/* RAM in the host's huge pages is no load of its other memory. */
	fake_vmem[0].info.requested_bytes = 0;
	fake_growth.pool_bytes = 128 * MiB;
	assert_answer(peer, "{'execute':'x-sluice-query-memory'}",
		"{'return':{'boot-memory':268435456,'held':0,'guest-page':4096,'carried':536870912,"
		"'host-need':67108864,'host-available':68719476736}}");
	peer_close(peer);
}

/* QEMU's properties of a balloon. The guest's figures move the bound of its growth. */
static void balloon_statistics(void **state)
{
#define AT_BALLOON "'arguments':{'path':'/machine/peripheral/balloon0','property':"
#define UNTOLD                                                                                     \
	"'stat-swap-in':-1,'stat-swap-out':-1,'stat-major-faults':-1,'stat-minor-faults':-1,"      \
	"'stat-free-memory':-1,'stat-disk-caches':-1,'stat-htlb-pgalloc':-1,'stat-htlb-pgfail':-"  \
	"1,"
#define INTERVAL "guest-stats-polling-interval"
	struct peer *peer = peer_ready();

	assert_answer(peer, "{'execute':'qom-get'," AT_BALLOON "'guest-stats'}}",
		"{'return':{'stats':{" UNTOLD
		"'stat-total-memory':-1,'stat-available-memory':-1},'last-update':0}}");
	fake_statistics.value[VIRTIO_BALLOON_S_MEMTOT] = 256 * MiB;
	fake_statistics.value[VIRTIO_BALLOON_S_AVAIL] = 10 * MiB;
	fake_statistics.updated_sec = 77;
	assert_answer(peer, "{'execute':'qom-get'," AT_BALLOON "'guest-stats'}}",
		"{'return':{'stats':{" UNTOLD "'stat-total-memory':268435456,'stat-available-"
		"memory':10485760},'last-update':77}}");
	assert_answer(peer, "{'execute':'qom-set'," AT_BALLOON "'" INTERVAL "','value':5}}",
		"{'return':{}}");
	assert_int_equal(fake_interval, 5);
	assert_answer(peer, "{'execute':'qom-get'," AT_BALLOON "'" INTERVAL "'}}", "{'return':5}");
	assert_answer(peer, "{'execute':'qom-set'," AT_BALLOON "'" INTERVAL "','value':-1}}",
		"{'error':{'class':'GenericError','desc':'Parameter \\u0027" INTERVAL
		"\\u0027 expects seconds, 0 (never) to 86400'}}");
	assert_answer(peer, "{'execute':'qom-set'," AT_BALLOON "'guest-stats','value':1}}",
		"{'error':{'class':'GenericError','desc':'Property "
		"\\u0027sluice,virtio-balloon.guest-stats\\u0027 is not writable'}}");
	assert_answer(peer, "{'execute':'qom-get'," AT_BALLOON "'colour'}}",
		"{'error':{'class':'GenericError','desc':'Property "
		"\\u0027sluice,virtio-balloon.colour\\u0027 not found'}}");
	assert_answer(peer, "{'execute':'qom-set'," AT_BALLOON "'colour','value':1}}",
		"{'error':{'class':'GenericError','desc':'Property "
		"\\u0027sluice,virtio-balloon.colour\\u0027 not found'}}");
	/* No guest has more than it was given; what says so counts for nothing. */
	fake_growth.carried_bytes = GiB;
	fake_statistics.value[VIRTIO_BALLOON_S_AVAIL] = UINT64_C(1) << 62;
	assert_answer(peer, "{'execute':'x-sluice-query-memory'}",
		"{'return':{'boot-memory':268435456,'held':0,'guest-page':4096,'carried':"
		"1073741824,"
		"'host-need':268435456,'host-available':68719476736}}");
	fake_statistics.value[VIRTIO_BALLOON_S_AVAIL] = 10 * MiB;
	/* 10 MiB describe no more than 512. */
	fake_growth.carried_bytes = GiB;
	assert_answer(peer, "{'execute':'x-sluice-query-memory'}",
		"{'return':{'boot-memory':268435456,'held':0,'guest-page':4096,'carried':536870912,"
		"'host-need':268435456,'host-available':68719476736}}");
	peer_close(peer);
}

static void map_shows_open_slots(void **state)
{
	struct peer *peer = peer_ready();
	json_t *line, *map, *slots;

	peer_send(peer, "{\"execute\":\"x-sluice-query-map\"}");
	line = peer_line(peer, 1000, NULL);
	map = json_array_get(json_object_get(line, "return"), 1);
	slots = json_object_get(map, "open-slots");
	assert_int_equal(json_integer_value(json_object_get(map, "exposed")), 162 * MiB);
	assert_int_equal(json_integer_value(json_object_get(map, "slots")), 8);
	assert_int_equal(json_array_size(slots), 2);
	map = json_array_get(slots, 1);
	assert_int_equal(json_integer_value(json_object_get(map, "gpa")), 8 * GiB + 256 * MiB);
	assert_string_equal(json_string_value(json_object_get(map, "cells")),
		"########+.......................");
	json_decref(line);
	/* A cell a block where there are few, and no block left out where they do not divide evenly. */
	for (unsigned blocks = 16; blocks <= 40; blocks += 24) {
		fake_slot_blocks = blocks;
		peer_send(peer, "{\"execute\":\"x-sluice-query-map\"}");
		line = peer_line(peer, 1000, NULL);
		slots = json_object_get(
			json_array_get(json_object_get(line, "return"), 1), "open-slots");
		assert_string_equal(
			json_string_value(json_object_get(json_array_get(slots, 1), "cells")),
			blocks == 16 ? "################" : "##############..................");
		json_decref(line);
	}
	/* So many are described; the others are counted. */
	fake_slots = 8 + 700;
	peer_send(peer, "{\"execute\":\"x-sluice-query-map\"}");
	line = peer_line(peer, 1000, NULL);
	for (size_t i = 0; i < 2; i++) {
		map = json_array_get(json_object_get(line, "return"), i);
		assert_int_equal(json_integer_value(json_object_get(map, "open")), 702);
		assert_int_equal(json_array_size(json_object_get(map, "open-slots")), 512);
	}
	json_decref(line);
	fake_map_unreadable = true;
	assert_answer(peer, "{'execute':'x-sluice-query-map'}",
		"{'error':{'class':'GenericError','desc':'The mappings of the process "
		"cannot be read: Permission denied'}}");
	peer_close(peer);
}

static void slots_show_the_budget(void **state)
{
	struct peer *peer = peer_ready();

	assert_answer(peer, "{'execute':'x-sluice-query-slots'}",
		"{'return':{'limits':[{'name':'KVM','slots':32767},{'name':'vhost-net','slots':64}]"
		","
		"'holders':[{'name':'memory','reserved':1,'open':1},"
		"{'name':'vmem0','reserved':8,'open':2},{'name':'vmem1','reserved':8,'open':2}],"
		"'reserved':17,'open':5,'free':47}}");
	peer_close(peer);
}

/* Whether there is a line for the peer now, without another turn. */
static bool has_line(struct peer *peer)
{
	char c;

	return recv(peer->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

static void drop_line(struct peer *peer, const char *member)
{
	json_t *line = peer_line(peer, 1000, NULL);

	assert_non_null(json_object_get(line, member));
	json_decref(line);
}

/*
 * A list of mappings that takes several turns of the loop is read once for all clients that ask meanwhile; other
 * clients are answered in between, and what these ask behind it waits, in order.
 */
static void a_long_map_takes_turns(void **state)
{
	struct peer *peer = peer_ready(), *late = peer_ready(), *other = peer_ready();

	fake_map_turns = 3;
	peer_send(peer,
		"{\"execute\":\"x-sluice-query-map\",\"id\":7}{\"execute\":\"query-status\"}");
	assert_int_equal(fake_loop_serve(), 1);
	assert_int_equal(fake_map_turns, 2);
	peer_send(late, "{\"execute\":\"x-sluice-query-map\",\"id\":8}");
	peer_send(other, "{\"execute\":\"query-status\"}");
	assert_int_equal(fake_loop_serve(), 2); /* and not the one that waits, again and again */
	assert_int_equal(fake_map_walks, 1);
	assert_false(has_line(peer) || has_line(late));
	assert_true(has_line(other));
	drop_line(other, "return");
	for (unsigned turn = 0; turn < 4; turn++)
		fake_loop_advance(0);
	assert_int_equal(fake_map_walks, 0);
	for (unsigned i = 0; i < 2; i++) {
		json_t *line = peer_line(i ? late : peer, 1000, NULL);

		assert_int_equal(json_integer_value(json_object_get(line, "id")), 7 + i);
		assert_int_equal(json_array_size(json_object_get(line, "return")), 2);
		json_decref(line);
	}
	assert_answer(peer, "", "{'return':{'running':true,'status':'running'}}");
	assert_int_equal(fake_loop_timers(), 0);

	/* A client that leaves meanwhile is not answered; and all are, when the machine goes. */
	fake_map_turns = 3;
	peer_send(peer, "{\"execute\":\"x-sluice-query-map\"}");
	peer_send(late, "{\"execute\":\"x-sluice-query-map\"}");
	fake_loop_serve();
	peer_close(peer);
	fake_loop_serve();
	control_set_machine(control, NULL);
	assert_answer(late, "", "{'error':{'class':'GenericError','desc':'The machine is gone'}}");
	assert_int_equal(fake_map_walks, 0);
	assert_int_equal(fake_loop_timers(), 0);
	control_set_machine(control, fake_machine);
	fake_map_turns = 0;
	assert_answer(late, "{'execute':'query-status'}",
		"{'return':{'running':true,'status':'running'}}");
	peer_close(late);
	peer_close(other);
}

static void takes_long(enum machine_notice notice, const char *reason)
{
	fake_loop_advance(3);
}

/* A packet full of requests is answered in turns: until 5 ms are over, and one more. */
static void requests_take_turns(void **state)
{
	struct peer *peer = peer_ready();

	fake_notify = takes_long;
	for (unsigned i = 0; i < 5; i++)
		peer_send(peer, "{\"execute\":\"system_powerdown\"}");
	assert_int_equal(fake_loop_serve(), 1);
	assert_int_equal(fake_buttons, 2);
	assert_int_equal(fake_loop_serve(), 1);
	assert_int_equal(fake_buttons, 4);
	assert_int_equal(fake_loop_serve(), 1);
	assert_int_equal(fake_buttons, 5);
	assert_int_equal(fake_loop_serve(), 0);
	fake_notify = NULL;
	for (unsigned i = 0; i < 5; i++)
		drop_line(peer, "return");
	assert_answer(peer, "{'execute':'query-status'}",
		"{'return':{'running':true,'status':'running'}}");
	peer_close(peer);
}

/* Also before there is a machine. */
static void the_longest_turn(void **state)
{
	struct peer *peer = peer_ready();

	control_set_machine(control, NULL);
	assert_answer(peer, "{'execute':'x-sluice-query-loop'}",
		"{'return':{'longest-us':7000,'longest':'disk0','turns':1,'long-turns':2}}");
	assert_answer(peer, "{'execute':'x-sluice-query-loop','arguments':{'restart':true}}",
		"{'return':{'longest-us':7000,'longest':'disk0','turns':2,'long-turns':2}}");
	assert_answer(peer, "{'execute':'x-sluice-query-loop','arguments':{'restart':false}}",
		"{'return':{'longest-us':7000,'longest':'disk0','turns':1,'long-turns':2}}");
	peer_close(peer);
}

static void not_ready_without_machine(void **state)
{
	static const char error[] =
		"{'error':{'class':'GenericError','desc':'The machine is not ready yet'}}";
	static const char *const requests[] = { "{'execute':'quit'}", "{'execute':'system_reset'}",
		"{'execute':'stop'}", "{'execute':'cont'}",
		"{'execute':'system_powerdown'}", "{'execute':'query-memory-devices'}",
		"{'execute':'x-sluice-query-map'}", "{'execute':'x-sluice-query-slots'}",
		"{'execute':'x-sluice-query-strays'}",
		"{'execute':'qom-get','arguments':{'path':'vmem0','property':'size'}}" };
	struct peer *peer = peer_ready();

	control_set_machine(control, NULL);
	assert_null(fake_vmem[0].device.changed);
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
		assert_answer(peer, requests[i], error);
	assert_answer(peer, "{'execute':'query-status'}",
		"{'return':{'running':false,'status':'prelaunch'}}");
	peer_close(peer);
}

/* Events. */

static void notify_control(enum machine_notice notice, const char *reason)
{
	control_notify(control, notice, reason);
}

/* Its single quotes become double ones, but not those of the error. */
static void assert_refused(struct peer *peer, const char *request, const char *error)
{
	char *text = strdup(request);
	json_t *line;

	for (char *c = text; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	peer_send(peer, text);
	line = peer_line(peer, 1000, NULL);
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(line, "error"), "desc")), error);
	json_decref(line);
	free(text);
}

static void the_cable(void **state)
{
	struct peer *peer = peer_ready();

	for (unsigned up = 0; up < 2; up++) {
		assert_answer(peer,
			up ? "{'execute':'set_link','arguments':{'name':'net0','up':true}}"
			   : "{'execute':'set_link','arguments':{'name':'net0','up':false}}",
			"{'return':{}}");
		assert_int_equal(fake_link, up);
	}
	assert_refused(peer, "{'execute':'set_link','arguments':{'name':'vmem0','up':true}}",
		"Device 'vmem0' not found");
	peer_close(peer);
}

static void a_disk_grows(void **state)
{
	struct peer *peer = peer_ready();

	assert_answer(peer,
		"{'execute':'block_resize','arguments':{'device':'disk0','size':2147483648}}",
		"{'return':{'x-sluice-before':1073741824,'x-sluice-size':2147483648}}");
	assert_answer(peer, "{'execute':'block_resize','arguments':{'device':'disk0'}}",
		"{'return':{'x-sluice-before':2147483648,'x-sluice-size':2148532224}}");
	assert_answer(peer, "{'execute':'block_resize','arguments':{'device':'disk0','size':512}}",
		"{'error':{'class':'GenericError','desc':'root.img does not shrink'}}");
	assert_refused(peer, "{'execute':'block_resize','arguments':{'device':'disk0','size':-1}}",
		"Parameter 'size' expects a size");
	assert_refused(peer, "{'execute':'block_resize','arguments':{'device':'net0'}}",
		"Device 'net0' not found");
	assert_int_equal(fake_disk_size, 2 * GiB + MiB);
	peer_close(peer);
}

static void a_terminal_has_a_size(void **state)
{
	struct peer *peer = peer_ready();

	assert_answer(peer,
		"{'execute':'x-sluice-console-size','arguments':{'port':'agent','columns':132,'"
		"rows':50}}",
		"{'return':{}}");
	assert_int_equal(fake_columns, 132);
	assert_int_equal(fake_rows, 50);
	assert_refused(peer,
		"{'execute':'x-sluice-console-size','arguments':{'port':'none','columns':1,'rows':"
		"1}}",
		"Port 'none' not found");
	assert_refused(peer,
		"{'execute':'x-sluice-console-size','arguments':{'port':'agent','columns':65536,'"
		"rows':1}}",
		"Parameters 'columns' and 'rows' expect numbers below 65536");
	assert_refused(peer,
		"{'execute':'x-sluice-console-size','arguments':{'port':'agent','columns':80,'rows'"
		":-1}}",
		"Parameters 'columns' and 'rows' expect numbers below 65536");
	assert_int_equal(fake_columns, 132);
	peer_close(peer);
}

static void what_happens_is_reported(void **state)
{
	static const char done[] = "{'return':{}}";
	struct peer *peer = peer_ready(), *deaf = peer_connect();

	fake_notify = notify_control;
	assert_answer(peer, "{'execute':'system_powerdown'}", "{'event':'POWERDOWN'}");
	assert_answer(peer, "", done);
	assert_answer(peer, "{'execute':'stop'}", "{'event':'STOP'}");
	assert_answer(peer, "", done);
	assert_answer(peer, "{'execute':'query-status'}",
		"{'return':{'running':false,'status':'paused'}}");
	assert_answer(peer, "{'execute':'cont'}", "{'event':'RESUME'}");
	assert_answer(peer, "", done);
	assert_answer(peer, "{'execute':'system_reset'}",
		"{'event':'RESET','data':{'guest':false,'reason':'host-qmp-system-reset'}}");
	assert_answer(peer, "", done);
	control_notify(control, MACHINE_RESET, "guest-reset");
	assert_answer(peer, "", "{'event':'RESET','data':{'guest':true,'reason':'guest-reset'}}");
	control_notify(control, MACHINE_WATCHDOG, "poweroff");
	assert_answer(peer, "", "{'event':'WATCHDOG','data':{'action':'poweroff'}}");
	control_notify(control, MACHINE_SHUTDOWN, "host-signal");
	assert_answer(
		peer, "", "{'event':'SHUTDOWN','data':{'guest':false,'reason':'host-signal'}}");
	assert_answer(peer, "{'execute':'quit'}",
		"{'event':'SHUTDOWN','data':{'guest':false,'reason':'host-qmp-quit'}}");
	assert_answer(peer, "", done);
	assert_true(fake_buttons == 1 && fake_resets == 1 && fake_quits == 1);
	/* Whoever has not negotiated heard the greeting only. */
	json_decref(peer_line(deaf, 100, NULL));
	assert_null(peer_line(deaf, 20, NULL));
	peer_close(peer);
	peer_close(deaf);
}

/* Clients. */

static void seventeenth_is_refused(void **state)
{
	struct peer *peers[CONTROL_CLIENTS], *more;
	json_t *line;

	for (int i = 0; i < CONTROL_CLIENTS; i++)
		peers[i] = peer_ready();
	more = peer_connect();
	line = peer_line(more, 1000, NULL);
	assert_non_null(json_object_get(line, "error"));
	json_decref(line);
	assert_true(peer_ended(more, 1000));
	peer_close(more);
	peer_close(peers[3]);
	pump(10);
	peers[3] = peer_ready();
	for (int i = 0; i < CONTROL_CLIENTS; i++)
		peer_close(peers[i]);
	pump(10);
	for (int i = 0; i < 100; i++)
		peer_close(peer_ready());
}

/* It sends and sends and never reads: its requests stop being taken, its memory is bounded. */
static void slow_reader_is_held_not_dropped(void **state)
{
	static const char request[] = "{\"execute\":\"query-commands\"}";
	struct peer *peer = peer_ready(), *good = peer_ready();
	size_t sent = 0, answers = 0;
	json_t *line;

	for (unsigned idle = 0; idle < 20;) {
		ssize_t n = send(peer->fd, request, strlen(request), MSG_NOSIGNAL);

		if (n == (ssize_t)strlen(request)) {
			sent++;
			idle = 0;
		} else {
			assert_true(n < 0 && errno == EAGAIN);
			idle++;
			pump(1);
		}
	}
	assert_in_range(sent, 300, 100000);
	assert_answer(good, "{'execute':'query-status'}",
		"{'return':{'running':true,'status':'running'}}");
	/* Then it reads after all: each gets its answer. */
	while (answers < sent && (line = peer_line(peer, 1000, NULL))) {
		assert_non_null(json_object_get(line, "return"));
		json_decref(line);
		answers++;
	}
	assert_int_equal(answers, sent);
	peer_close(peer);
	peer_close(good);
}

/* It does not even ask: only events go to it, and not for ever. */
static void never_reader_is_dropped_by_events(void **state)
{
	static char text[64 * 1024];
	struct peer *peer = peer_ready(), *good = peer_ready();
	bool ended = false;
	json_t *line;
	int heard = 0;

	memset(text, 'x', sizeof(text) - 1);
	for (int i = 0; i < 1000; i++) {
		control_event(control, "X", json_pack("{s:s}", "text", text));
		line = peer_line(good, 1000, NULL);
		assert_non_null(line);
		json_decref(line);
	}
	for (; (line = peer_line(peer, 1000, &ended)); heard++)
		json_decref(line);
	assert_true(ended);
	assert_in_range(heard, 0, 80); /* 4 MiB and what the socket holds */
	peer_close(peer);
	peer_close(good);
}

/* Takes what the socket holds, without a turn for the other side. */
static void peer_drain(struct peer *peer)
{
	ssize_t n;

	while ((n = recv(peer->fd, peer->buf + peer->len, sizeof(peer->buf) - peer->len, 0)) > 0)
		peer->len += (size_t)n;
}

static void peer_ask(struct peer *peer, unsigned count)
{
	while (count--)
		peer_send(peer, "{\"execute\":\"query-commands\"}");
}

/* Lines with `member`: as many as are expected, however long they take, and what comes right after them. */
static unsigned peer_count(struct peer *peer, const char *member, unsigned expected)
{
	unsigned count = 0;
	json_t *line;

	while ((line = peer_line(peer, count < expected ? 10000 : 20, NULL))) {
		count += !!json_object_get(line, member);
		json_decref(line);
	}
	return count;
}

/* The hold is lifted by an event's flush: what was read already still gets its answers. */
static void event_between_held_requests(void **state)
{
	for (unsigned count = 250; count <= 550; count += 25) {
		struct peer *peer = peer_ready();

		for (unsigned sent = 0; sent < count; sent += 25) {
			peer_ask(peer, 25);
			pump(1);
		}
		peer_drain(peer);
		control_event(control, "X", NULL);
		assert_int_equal(peer_count(peer, "return", count), count);
		peer_close(peer);
	}
}

/* Half closed with more answers than the socket holds: all of them, then the end. */
static void half_closed_gets_all_answers(void **state)
{
	for (unsigned count = 100; count <= 550; count += 25) {
		struct peer *peer = peer_ready();

		for (unsigned sent = 0; sent < count; sent += 25) {
			peer_ask(peer, 25);
			pump(1);
		}
		shutdown(peer->fd, SHUT_WR);
		pump(1);
		assert_int_equal(peer_count(peer, "return", count), count);
		assert_true(peer_ended(peer, 100));
		peer_close(peer);
	}
}

static void what_waits_is_sent_at_the_end(void **state)
{
	static char text[1024];
	struct peer *peer = peer_ready();
	size_t before;

	memset(text, 'x', sizeof(text) - 1);
	for (int i = 0; i < 1000; i++)
		control_event(control, "X", json_pack("{s:s}", "text", text));
	peer_drain(peer);
	before = peer->len;
	control_destroy(control);
	control = NULL;
	peer_drain(peer);
	assert_true(peer->len > before);
	peer_close(peer);
}

static void hang_up_after_requests(void **state)
{
	struct peer *peer = peer_connect();

	/* Sent and closed before anyone accepts. */
	peer_send(peer,
		"{\"execute\":\"qmp_capabilities\"}{\"execute\":\"system_powerdown\"}{\"exec");
	peer_close(peer);
	pump(20);
	assert_int_equal(fake_buttons, 1);

	/* Half closed: still answered, then closed. */
	peer = peer_connect();
	peer_send(peer, "{\"execute\":\"qmp_capabilities\"}{\"execute\":\"query-status\"}");
	shutdown(peer->fd, SHUT_WR);
	for (int i = 0; i < 3; i++) {
		json_t *line = peer_line(peer, 1000, NULL);

		assert_non_null(line);
		json_decref(line);
	}
	assert_true(peer_ended(peer, 1000));
	peer_close(peer);
}

static void beyond_bounds_is_closed(void **state)
{
	struct peer *peer = peer_ready();
	json_t *line;

	for (int i = 0; i < 65; i++)
		peer_send(peer, "[");
	line = peer_line(peer, 1000, NULL);
	assert_non_null(json_object_get(line, "error"));
	json_decref(line);
	assert_true(peer_ended(peer, 1000));
	peer_close(peer);
	peer_close(peer_ready());
}

static void quit_is_answered_before_the_end(void **state)
{
	struct peer *peer = peer_ready();
	json_t *line;

	fake_notify = notify_control;
	peer_send(peer, "{\"execute\":\"quit\"}");
	pump(10);
	control_destroy(control);
	control = NULL;
	for (int i = 0; i < 2; i++) {
		line = peer_line(peer, 0, NULL);
		assert_non_null(json_object_get(line, i ? "return" : "event"));
		json_decref(line);
	}
	assert_null(fake_vmem[0].device.changed);
	peer_close(peer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_bench, close_bench)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(commands_answer),
		TEST(no_capabilities),
		TEST(balloon),
		TEST(properties_get_and_set),
		TEST(every_value_is_listed),
		TEST(growth_is_bounded),
		TEST(balloon_statistics),
		TEST(map_shows_open_slots),
		TEST(a_long_map_takes_turns),
		TEST(requests_take_turns),
		TEST(slots_show_the_budget),
		TEST(the_longest_turn),
		TEST(not_ready_without_machine),
		TEST(the_cable),
		TEST(a_disk_grows),
		TEST(a_terminal_has_a_size),
		TEST(what_happens_is_reported),
		TEST(seventeenth_is_refused),
		TEST(slow_reader_is_held_not_dropped),
		TEST(never_reader_is_dropped_by_events),
		TEST(event_between_held_requests),
		TEST(half_closed_gets_all_answers),
		TEST(what_waits_is_sent_at_the_end),
		TEST(hang_up_after_requests),
		TEST(beyond_bounds_is_closed),
		TEST(quit_is_answered_before_the_end),
	};

	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
