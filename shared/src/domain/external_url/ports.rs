//! Ports where no artifact is served.

use std::collections::BTreeSet;

/// Databases, caches, their consoles, coordination services, and daemons that run containers.
const DENIED: &[u16] = &[
    1433, 1434, // SQL Server
    1521, 1522, 1830, 2483, 2484, // Oracle
    2181, // ZooKeeper
    2375, 2376, 2377, 4243, // Docker, Swarm
    2379, 2380, // etcd
    2424, 2480, // OrientDB
    3050, // Firebird
    3306, 33060, 33061, // MySQL
    5432, 5433, 6432, // PostgreSQL, PgBouncer
    5439, // Redshift
    5984, 6984, // CouchDB
    6378, 6379, 6380, 16379, 26379, // Redis, Sentinel
    6443, 10248, 10249, 10250, 10255, 10256, // Kubernetes
    4194,  // cAdvisor
    7000, 7001, 7199, 9042, 9142, 9160, // Cassandra
    7473, 7474, 7687, // Neo4j
    8086, // InfluxDB
    8087, 8098, // Riak
    8091, 8092, 8093, 8094, 8095, 8096, 11207, 11210, 18091, 18092, // Couchbase
    8123, 9009, // ClickHouse
    8300, 8301, 8302, 8500, 8501, 8502, 8600, // Consul
    8529, // ArangoDB
    9092, 9093, // Kafka
    9200, 9300, // Elasticsearch
    11211, 11212, // memcached
    19530, // Milvus
    26257, // CockroachDB
    27017, 27018, 27019, 28017, // MongoDB
    28015, 29015, // RethinkDB
    50000, // Db2
];

/// The ports from 1024 up that are denied unless a deployment says otherwise.
pub fn default_denied_ports() -> BTreeSet<u16> {
    DENIED.iter().copied().collect()
}
