#include "controller/flows/flow_store.h"

#include <algorithm>

#include "controller/log/sqlite.h"

namespace cordon::controller {

namespace {

constexpr const char* kFlowSchema = R"(
CREATE TABLE IF NOT EXISTS flows (
  id INTEGER PRIMARY KEY, at INTEGER NOT NULL, node TEXT NOT NULL, kind TEXT NOT NULL,
  source BLOB NOT NULL, destination BLOB NOT NULL, person TEXT NOT NULL,
  source_device TEXT NOT NULL, destination_device TEXT NOT NULL, protocol INTEGER NOT NULL,
  source_port INTEGER NOT NULL, destination_port INTEGER NOT NULL, rule TEXT NOT NULL, reason TEXT NOT NULL,
  direction TEXT NOT NULL, packets INTEGER NOT NULL, bytes INTEGER NOT NULL, suppressed INTEGER NOT NULL,
  segment TEXT NOT NULL DEFAULT '', service TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS flows_at ON flows(at);
CREATE TABLE IF NOT EXISTS reports (
  node TEXT PRIMARY KEY, boot TEXT NOT NULL, sequence INTEGER NOT NULL) WITHOUT ROWID;
)";

/// A database of an earlier release: its records have no segments.
constexpr const char* kAddSegments = R"(
ALTER TABLE flows ADD COLUMN segment TEXT NOT NULL DEFAULT '';
ALTER TABLE flows ADD COLUMN service TEXT NOT NULL DEFAULT '';
)";

constexpr std::string_view kColumns =
    "at, node, kind, source, destination, person, source_device, destination_device, protocol, source_port, "
    "destination_port, rule, reason, direction, packets, bytes, suppressed, segment, service";
constexpr int kColumnCount = 19;
// bind_filters() gives the parameters. Empty means any.
constexpr std::string_view kFilters =
    "(?2 = '' OR kind = ?2) AND (?3 = '' OR node = ?3 OR source_device = ?3 OR destination_device = ?3) "
    "AND (?4 = '' OR rule = ?4) AND (?5 = '' OR reason = ?5) "
    "AND (?6 = '' OR ?6 = CASE WHEN kind IN ('opened', 'closed') THEN 'allowed' "
    "WHEN reason IN ('observed', 'underlay observed') THEN 'observed' ELSE 'denied' END) "
    "AND (?7 = 0 OR (?8 <> '' AND person = ?8) OR (?9 <> '' AND source_device = ?9) OR source = ?10) "
    "AND (?11 = 0 OR (?12 <> '' AND destination_device = ?12) OR destination = ?13 OR (?14 <> '' "
    "AND instr(',' || segment || ',', ',' || ?14 || ',') > 0 AND (?15 = '' OR service = ?15))) ";
constexpr std::size_t kMaxQuery = 10'000;
constexpr std::int64_t kPruneStep = 10'000;

class SqliteFlowStore final : public FlowStore {
 public:
  explicit SqliteFlowStore(Sqlite database) : database_(std::move(database)) {}
  Result<> add(const std::vector<FlowRecord>& flows, const std::vector<FlowMark>& marks) override;
  Result<std::vector<FlowMark>> marks() override;
  Result<std::vector<FlowRecord>> query(const FlowQuery& query) override;
  Result<std::optional<FlowPlace>> place_behind(const FlowQuery& query, std::size_t look_at) override;
  Result<FlowsAfter> after(const FlowQuery& query, std::int64_t id, std::size_t look_at) override;
  Result<std::int64_t> last_id() override;
  Result<std::vector<FlowRecord>> open(Timestamp since, std::size_t latest) override;
  Result<std::vector<policy::ObservedFlow>> observed(Timestamp since, std::size_t latest) override;
  Result<bool> fits(Timestamp since, std::size_t records) override;
  Result<std::size_t> prune(Timestamp older_than, std::uint64_t max_bytes) override;

 private:
  Sqlite database_;
};

Result<> SqliteFlowStore::add(const std::vector<FlowRecord>& flows, const std::vector<FlowMark>& marks) {
  std::string values = "?";
  for (int i = 1; i < kColumnCount; ++i) values += ",?";
  CORDON_ASSIGN(SqliteStatement insert, database_.prepare("INSERT INTO flows (" + std::string(kColumns) +
                                                          ") VALUES (" + values + ")"));
  CORDON_ASSIGN(SqliteStatement mark,
                database_.prepare("INSERT OR REPLACE INTO reports (node, boot, sequence) VALUES (?, ?, ?)"));
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
        .bind(17, static_cast<std::int64_t>(flow.suppressed))
        .bind(18, flow.segment)
        .bind(19, flow.service);
    CORDON_TRY(insert.run());
  }
  for (const FlowMark& each : marks) {
    mark.bind(1, each.node.value).bind(2, each.boot).bind(3, static_cast<std::int64_t>(each.sequence));
    CORDON_TRY(mark.run());
  }
  return transaction.commit();
}

Result<std::vector<FlowMark>> SqliteFlowStore::marks() {
  CORDON_ASSIGN(SqliteStatement select, database_.prepare("SELECT node, boot, sequence FROM reports"));
  std::vector<FlowMark> out;
  while (true) {
    CORDON_ASSIGN(const bool more, select.step());
    if (!more) return out;
    out.push_back({.node = DeviceId(select.text(0)),
                   .boot = select.text(1),
                   .sequence = static_cast<std::uint64_t>(select.integer(2))});
  }
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
  flow.segment = row.text(17);
  flow.service = row.text(18);
  flow.id = row.integer(19);
  return flow;
}

Result<std::vector<FlowRecord>> read_rows(SqliteStatement& select) {
  std::vector<FlowRecord> flows;
  while (true) {
    CORDON_ASSIGN(const bool more, select.step());
    if (!more) return flows;
    CORDON_ASSIGN(flows.emplace_back(), read_row(select));
  }
}

ByteView bytes_of(const std::optional<Address>& address) {
  return address ? ByteView(address->raw()) : ByteView();
}

void bind_filters(SqliteStatement& select, const FlowQuery& query) {
  const FlowEnd from = query.from.value_or(FlowEnd{}), to = query.to.value_or(FlowEnd{});
  select.bind(2, query.kind)
      .bind(3, query.device)
      .bind(4, query.rule)
      .bind(5, query.reason)
      .bind(6, query.verdict)
      .bind(7, std::int64_t{query.from.has_value()})
      .bind(8, from.person)
      .bind(9, from.device)
      .bind(10, bytes_of(from.address))
      .bind(11, std::int64_t{query.to.has_value()})
      .bind(12, to.device)
      .bind(13, bytes_of(to.address))
      .bind(14, to.segment)
      .bind(15, to.service);
}

Result<std::vector<FlowRecord>> SqliteFlowStore::query(const FlowQuery& query) {
  CORDON_ASSIGN(SqliteStatement select,
                database_.prepare("SELECT " + std::string(kColumns) + ", id FROM flows WHERE at >= ?1 AND " +
                                  std::string(kFilters) +
                                  "AND (at, id) < (?16, ?17) AND (at, id) >= (?19, ?20) "
                                  "ORDER BY at DESC, id DESC LIMIT ?18"));
  bind_filters(select, query);
  select.bind(1, query.since ? to_us(*query.since) : INT64_MIN)
      .bind(16, query.before ? to_us(query.before->at) : INT64_MAX)
      .bind(17, query.before ? query.before->id : INT64_MAX)
      .bind(18, static_cast<std::int64_t>(std::min(query.limit, kMaxQuery)))
      .bind(19, query.until ? to_us(query.until->at) : INT64_MIN)
      .bind(20, query.until ? query.until->id : INT64_MIN);
  return read_rows(select);
}

Result<std::optional<FlowPlace>> SqliteFlowStore::place_behind(const FlowQuery& query, std::size_t look_at) {
  // The index alone is read.
  CORDON_ASSIGN(SqliteStatement select,
                database_.prepare("SELECT at, id FROM flows WHERE at >= ?1 AND (at, id) < (?2, ?3) "
                                  "ORDER BY at DESC, id DESC LIMIT 2 OFFSET ?4"));
  select.bind(1, query.since ? to_us(*query.since) : INT64_MIN)
      .bind(2, query.before ? to_us(query.before->at) : INT64_MAX)
      .bind(3, query.before ? query.before->id : INT64_MAX)
      .bind(4, static_cast<std::int64_t>(look_at) - 1);
  CORDON_ASSIGN(const bool reached, select.step());
  if (!reached) return std::nullopt;
  const FlowPlace place{.at = from_us(select.integer(0)), .id = select.integer(1)};
  CORDON_ASSIGN(const bool more, select.step());
  return more ? std::optional(place) : std::nullopt;
}

Result<std::int64_t> SqliteFlowStore::last_id() {
  CORDON_ASSIGN(SqliteStatement select, database_.prepare("SELECT coalesce(max(id), 0) FROM flows"));
  CORDON_TRY(select.step());
  return select.integer(0);
}

Result<FlowsAfter> SqliteFlowStore::after(const FlowQuery& query, std::int64_t id, std::size_t look_at) {
  CORDON_ASSIGN(const std::int64_t newest, last_id());
  // Ids beyond the last were lost with the power: what comes now takes their numbers.
  id = std::clamp<std::int64_t>(id, 0, newest);
  const std::int64_t until = std::min(newest, id + static_cast<std::int64_t>(look_at));
  CORDON_ASSIGN(SqliteStatement select, database_.prepare("SELECT " + std::string(kColumns) +
                                                          ", id FROM flows WHERE id > ?1 AND id <= ?16 AND " +
                                                          std::string(kFilters) + "ORDER BY id LIMIT ?17"));
  bind_filters(select, query);
  const std::size_t limit = std::min(query.limit, kMaxQuery);
  select.bind(1, id).bind(16, until).bind(17, static_cast<std::int64_t>(limit));
  FlowsAfter found{.last = until};
  CORDON_ASSIGN(found.flows, read_rows(select));
  if (!found.flows.empty() && found.flows.size() == limit) found.last = found.flows.back().id;
  found.more = found.last < newest;
  return found;
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
  return read_rows(select);
}

Result<std::vector<policy::ObservedFlow>> SqliteFlowStore::observed(Timestamp since, std::size_t latest) {
  // Both ends report a flow; the one that saw more is believed.
  CORDON_ASSIGN(
      SqliteStatement select,
      database_.prepare(
          "SELECT person, source_device, destination_device, protocol, destination_port, max(seen), "
          "min(first), max(last) FROM (SELECT person, source_device, destination_device, protocol, "
          "destination_port, at / 86400000000 AS day, direction, sum(suppressed + 1) AS seen, min(at) AS "
          "first, "
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

Result<bool> SqliteFlowStore::fits(Timestamp since, std::size_t records) {
  CORDON_ASSIGN(SqliteStatement select,
                database_.prepare("SELECT count(*) FROM (SELECT 1 FROM flows WHERE at >= ?1 LIMIT ?2)"));
  select.bind(1, to_us(since)).bind(2, static_cast<std::int64_t>(records) + 1);
  CORDON_TRY(select.step());
  return static_cast<std::size_t>(select.integer(0)) <= records;
}

Result<std::size_t> SqliteFlowStore::prune(Timestamp older_than, std::uint64_t max_bytes) {
  std::size_t removed = 0;
  CORDON_ASSIGN(SqliteStatement by_age, database_.prepare("DELETE FROM flows WHERE at < ? AND id < "
                                                          "(SELECT max(id) FROM flows)"));
  by_age.bind(1, to_us(older_than));
  CORDON_TRY(by_age.run());
  removed += static_cast<std::size_t>(database_.changes());
  CORDON_ASSIGN(SqliteStatement oldest,
                database_.prepare("DELETE FROM flows WHERE id IN "
                                  "(SELECT id FROM flows WHERE id < (SELECT max(id) FROM flows) "
                                  "ORDER BY at, id LIMIT ?)"));
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

Result<> add_segments(Sqlite& database) {
  CORDON_ASSIGN(SqliteStatement select,
                database.prepare("SELECT count(*) FROM pragma_table_info('flows') WHERE name = 'segment'"));
  CORDON_TRY(select.step());
  if (select.integer(0) > 0) return {};
  select.reset();
  return database.execute(kAddSegments);
}

}  // namespace

std::string_view verdict_of(const FlowRecord& flow) {
  if (flow.kind == "opened" || flow.kind == "closed") return "allowed";
  return flow.reason == "observed" || flow.reason == "underlay observed" ? "observed" : "denied";
}

Result<std::unique_ptr<FlowStore>> open_flow_store(const std::filesystem::path& path) {
  CORDON_ASSIGN(Sqlite database, Sqlite::open(path, {.durable = false, .shrinks = true}));
  CORDON_TRY(database.execute(kFlowSchema));
  CORDON_TRY(add_segments(database));
  return std::make_unique<SqliteFlowStore>(std::move(database));
}

}  // namespace cordon::controller
