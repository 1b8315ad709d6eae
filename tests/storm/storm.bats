#!/usr/bin/env bats
# What is promised of reloads, new binaries and dead processes, in full. `make storm` runs it; generations, deaths and
# upgrade are the same in short.
# alone: it loads all processors

load ../helpers/common
load ../helpers/streams
load ../helpers/generations

@test "storm: 100 reloads in 60 s under 5,000 live relays and 500 new connections a second" {
	reload_storm 100 60 5000
}

@test "storm: 200 kill -9 of workers under 5,000 live relays" {
	death_storm 200 5000
}

@test "storm: 20 stopped workers under 5,000 live relays" {
	death_storm 20 5000 STOP
}

@test "storm: 20 kill -9 of the keeper, each followed by one of a worker" {
	keeper_storm 20 5000
}

@test "storm: 20 kill -9 of the master, each followed by a start" {
	master_storm 20 5000
}

@test "storm: 20 replacements of the binary" {
	upgrade_storm 20 5000
}

@test "storm: after 1,000 reloads nothing has grown" {
	growth_of_reloads 1000
}

@test "storm: after 1,000 worker deaths nothing has grown" {
	growth_of_deaths 1000
}
