#include "controller/flows/flow_store.h"

#include "controller/log/sqlite.h"

namespace cordon::controller {

namespace {

constexpr const char* kFlowSchema = R"(
CREATE TABLE IF NOT EXISTS flows (
  id INTEGER PRIMARY KEY, at INTEGER NOT NULL, node TEXT NOT NULL, kind TEXT NOT NULL,
  source BLOB NOT NULL, destination BLOB NOT NULL, person TEXT NOT NULL,
  source_device TEXT NOT NULL, destination_device TEXT NOT NULL, protocol INTEGER NOT NULL,
  source_port INTEGER NOT NULL, destination_port INTEGER NOT NULL, rule TEXT NOT NULL, reason TEXT NOT NULL,
  direction TEXT NOT NULL, packets INTEGER NOT NULL, bytes INTEGER NOT NULL, suppressed INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS flows_at ON flows(at);
)";

constexpr std::string_view kColumns =
    "at, node, kind, source, destination, person, source_device, destination_device, protocol, source_port, "
    "destination_port, rule, reason, direction, packets, bytes, suppressed";
constexpr int kColumnCount = 17;
constexpr std::size_t kMaxQuery = 10'000;
constexpr std::int64_t kPruneStep = 10'000;

class SqliteFlowStore final : public FlowStore {
 public:
  explicit SqliteFlowStore(Sqlite database) : database_(std::move(database)) {}
  Result<> add(const std::vector<FlowRecord>& flows) override;
  Result<std::vector<FlowRecord>> query(const FlowQuery& query) override;
  Result<std::vector<FlowRecord>> open(Timestamp since, std::size_t latest) override;
  Result<std::vector<policy::ObservedFlow>> observed(Timestamp since, std::size_t latest) override;
  Result<std::size_t> prune(Timestamp older_than, std::uint64_t max_bytes) override;

 private:
  Sqlite database_;
};

Result<> SqliteFlowStore::add(const std::vector<FlowRecord>& flows) {
  std::string marks = "?";
  for (int i = 1; i < kColumnCount; ++i) marks += ",?";
  CORDON_ASSIGN(SqliteStatement insert, database_.prepare("INSERT INTO flows (" + std::string(kColumns) +
                                                          ") VALUES (" + marks + ")"));
  CORDON_ASSIGN(SqliteTransaction transaction, SqliteTransaction::begin(database_));
  for (const FlowRecord& flow : flows) {
    insert.bind(1, to_us(flow.at))
        .bind(2, flow.node.value)
        .bind(3, flow.kind)
        .bind(4, ByteView(flow.source.raw()))
        .bind(5, ByteView(flow.destination.raw()))
        .bind(6, flow.person)
        .bind(7, flow.source_device)
        .bind(8, flow.destination_device)
        .bind(9, std::int64_t{flow.protocol})
        .bind(10, std::int64_t{flow.source_port})
        .bind(11, std::int64_t{flow.destination_port})
        .bind(12, flow.rule)
        .bind(13, flow.reason)
        .bind(14, flow.direction)
        .bind(15, static_cast<std::int64_t>(flow.packets))
        .bind(16, static_cast<std::int64_t>(flow.bytes))
        .bind(17, static_cast<std::int64_t>(flow.suppressed));
    CORDON_TRY(insert.run());
  }
  return transaction.commit();
}

Result<FlowRecord> read_row(const SqliteStatement& row) {
  FlowRecord flow;
  flow.at = from_us(row.integer(0));
  flow.node = DeviceId(row.text(1));
  flow.kind = row.text(2);
  CORDON_ASSIGN(flow.source, Address::from_bytes(row.blob(3)));
  CORDON_ASSIGN(flow.destination, Address::from_bytes(row.blob(4)));
  flow.person = row.text(5);
  flow.source_device = row.text(6);
  flow.destination_device = row.text(7);
  flow.protocol = static_cast<std::uint8_t>(row.integer(8));
  flow.source_port = static_cast<std::uint16_t>(row.integer(9));
  flow.destination_port = static_cast<std::uint16_t>(row.integer(10));
  flow.rule = row.text(11);
  flow.reason = row.text(12);
  flow.direction = row.text(13);
  flow.packets = static_cast<std::uint64_t>(row.integer(14));
  flow.bytes = static_cast<std::uint64_t>(row.integer(15));
  flow.suppressed = static_cast<std::uint64_t>(row.integer(16));
  flow.id = row.integer(17);
  return flow;
}

Result<std::vector<FlowRecord>> SqliteFlowStore::query(const FlowQuery& query) {
  CORDON_ASSIGN(
      SqliteStatement select,
      database_.prepare("SELECT " + std::string(kColumns) +
                        ", id"
                        " FROM flows WHERE at >= ?1 AND (?2 = '' OR kind = ?2) AND (?3 = '' OR node = ?3 "
                        "OR source_device = ?3 OR destination_device = ?3) AND (at, id) < (?5, ?6) "
                        "ORDER BY at DESC, id DESC LIMIT ?4"));
  select.bind(1, query.since ? to_us(*query.since) : INT64_MIN)
      .bind(2, query.kind)
      .bind(3, query.device)
      .bind(4, static_cast<std::int64_t>(std::min(query.limit, kMaxQuery)))
      .bind(5, query.before ? to_us(query.before->at) : INT64_MAX)
      .bind(6, query.before ? query.before->id : INT64_MAX);
  std::vector<FlowRecord> flows;
  while (true) {
    CORDON_ASSIGN(const bool more, select.step());
    if (!more) return flows;
    CORDON_ASSIGN(flows.emplace_back(), read_row(select));
  }
}

Result<std::vector<FlowRecord>> SqliteFlowStore::open(Timestamp since, std::size_t latest) {
  // Both ends report a flow. Of a group SQLite takes the columns from the row that max() found.
  CORDON_ASSIGN(
      SqliteStatement select,
      database_.prepare("SELECT " + std::string(kColumns) +
                        ", id, max(at) FROM (SELECT * FROM flows WHERE at >= ?1 ORDER BY at DESC LIMIT ?2) "
                        "WHERE kind IN ('opened', 'closed') OR (kind = 'denied' AND reason = 'observed') "
                        "GROUP BY source, source_port, destination, destination_port, protocol "
                        "HAVING kind <> 'closed' ORDER BY at DESC, id DESC"));
  select.bind(1, to_us(since)).bind(2, static_cast<std::int64_t>(latest));
  std::vector<FlowRecord> flows;
  while (true) {
    CORDON_ASSIGN(const bool more, select.step());
    if (!more) return flows;
    CORDON_ASSIGN(flows.emplace_back(), read_row(select));
  }
}

Result<std::vector<policy::ObservedFlow>> SqliteFlowStore::observed(Timestamp since, std::size_t latest) {
  // Both ends report a flow; the one that saw more is believed.
  CORDON_ASSIGN(
      SqliteStatement select,
      database_.prepare(
          "SELECT person, source_device, destination_device, protocol, destination_port, max(seen), "
          "min(first), max(last) FROM (SELECT person, source_device, destination_device, protocol, "
          "destination_port, at / 86400000000 AS day, direction, count(*) AS seen, min(at) AS first, "
          "max(at) AS last FROM (SELECT * FROM flows WHERE at >= ?1 ORDER BY at DESC LIMIT ?2) "
          "WHERE kind = 'denied' AND reason = 'observed' GROUP BY 1, 2, 3, 4, 5, 6, 7) "
          "GROUP BY person, source_device, destination_device, protocol, destination_port, day "
          "ORDER BY 7, 1, 2, 3, 4, 5"));
  select.bind(1, to_us(since)).bind(2, static_cast<std::int64_t>(latest));
  std::vector<policy::ObservedFlow> flows;
  while (true) {
    CORDON_ASSIGN(const bool more, select.step());
    if (!more) return flows;
    flows.push_back({.person = SubjectId(select.text(0)),
                     .source = DeviceId(select.text(1)),
                     .target = DeviceId(select.text(2)),
                     .protocol = static_cast<std::uint8_t>(select.integer(3)),
                     .port = static_cast<std::uint16_t>(select.integer(4)),
                     .count = static_cast<std::uint64_t>(select.integer(5)),
                     .first = from_us(select.integer(6)),
                     .last = from_us(select.integer(7))});
  }
}

Result<std::size_t> SqliteFlowStore::prune(Timestamp older_than, std::uint64_t max_bytes) {
  std::size_t removed = 0;
  CORDON_ASSIGN(SqliteStatement by_age, database_.prepare("DELETE FROM flows WHERE at < ?"));
  by_age.bind(1, to_us(older_than));
  CORDON_TRY(by_age.run());
  removed += static_cast<std::size_t>(database_.changes());
  CORDON_ASSIGN(SqliteStatement oldest, database_.prepare("DELETE FROM flows WHERE id IN "
                                                          "(SELECT id FROM flows ORDER BY at, id LIMIT ?)"));
  while (true) {
    CORDON_ASSIGN(const std::uint64_t used, database_.bytes_used());
    if (used <= max_bytes) break;
    oldest.bind(1, kPruneStep);
    CORDON_TRY(oldest.run());
    if (database_.changes() == 0) break;
    removed += static_cast<std::size_t>(database_.changes());
  }
  if (removed > 0) CORDON_TRY(database_.execute("PRAGMA incremental_vacuum"));
  return removed;
}

}  // namespace

Result<std::unique_ptr<FlowStore>> open_flow_store(const std::filesystem::path& path) {
  CORDON_ASSIGN(Sqlite database, Sqlite::open(path, {.durable = false, .shrinks = true}));
  CORDON_TRY(database.execute(kFlowSchema));
  return std::make_unique<SqliteFlowStore>(std::move(database));
}

}  // namespace cordon::controller
