#pragma once
// Flow reports of nodes, kept apart from the log with a limit on time and size (default 7 days, 1 GiB).

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"
#include "policy/plan.h"

namespace cordon::controller {

struct FlowRecord {
  Timestamp at{};
  DeviceId node;     ///< who reported it
  std::string kind;  ///< opened, denied, closed, underlay
  Address source, destination;
  std::string person;  ///< subject id of the source's session, "" for a machine
  std::string source_device, destination_device;
  std::string segment{}, service{};  ///< of the target, as of the report; several segments: by commas
  std::uint8_t protocol = 0;
  std::uint16_t source_port = 0, destination_port = 0;
  std::string rule, reason, direction;
  std::uint64_t packets = 0, bytes = 0;
  std::uint64_t suppressed = 0;  ///< denials like it (source and reason) that were counted and not told apart
  std::int64_t id = 0;           ///< the store's own: grows in order of arrival, never used again
};

/// allowed, denied or observed: denied by the policy and let through all the same.
std::string_view verdict_of(const FlowRecord& flow);

/// A record's place in the order of a query.
struct FlowPlace {
  Timestamp at{};
  std::int64_t id = 0;
};

/// What a name may mean at an end of a flow; one that fits is enough. All empty: nobody is called so.
struct FlowEnd {
  std::string person;  ///< subject id
  std::string device;
  std::string segment;
  std::string service;  ///< within `segment`
  std::optional<Address> address;
};

struct FlowQuery {
  std::optional<Timestamp> since{};
  std::string device{}, kind{};
  std::string verdict{}, rule{}, reason{};
  std::optional<FlowEnd> from{}, to{};
  std::size_t limit = 1000;
  std::optional<FlowPlace> before{};  ///< only what comes after this one in the order of the answer
  std::optional<FlowPlace> until{};   ///< and nothing after this one
  /// False: every record fits.
  bool filters() const {
    return from || to ||
           !(device.empty() && kind.empty() && verdict.empty() && rule.empty() && reason.empty());
  }
};

/// What came after a record, in order of arrival.
struct FlowsAfter {
  std::vector<FlowRecord> flows;
  std::int64_t last = 0;  ///< up to this id all was looked at
  bool more = false;      ///< there is more behind it already
};

/// Up to which report of a boot all of a node's are kept.
struct FlowMark {
  DeviceId node;
  std::string boot{};  ///< as its Hello named it
  std::uint64_t sequence = 0;
  bool operator==(const FlowMark&) const = default;
};

/// One connection to the database: not for two threads at once, and never for the strand (Flows is).
class FlowStore {
 public:
  virtual ~FlowStore() = default;
  /// In one transaction; a node's mark takes the place of its last.
  virtual Result<> add(const std::vector<FlowRecord>& flows, const std::vector<FlowMark>& marks) = 0;
  Result<> add(const std::vector<FlowRecord>& flows) { return add(flows, {}); }
  virtual Result<std::vector<FlowMark>> marks() = 0;
  virtual Result<std::vector<FlowRecord>> query(const FlowQuery& query) = 0;  ///< newest first
  /// Of the records that a query looks at, whether they fit or not, the place of the last of the first so
  /// many; none: there are no more than so many.
  virtual Result<std::optional<FlowPlace>> place_behind(const FlowQuery& query, std::size_t look_at) = 0;
  /// Looks at so many records after `id` at most; an id that was never given is the last one's.
  virtual Result<FlowsAfter> after(const FlowQuery& query, std::int64_t id, std::size_t look_at) = 0;
  virtual Result<std::int64_t> last_id() = 0;  ///< 0: it is empty
  /// Flows that were accepted since then and whose end nobody reported, each once, newest first; looks at so
  /// many of the latest records and no more. Who sent it is told by its addresses.
  virtual Result<std::vector<FlowRecord>> open(Timestamp since, std::size_t latest) = 0;
  /// What targets that observe let through although no rule allowed it: by person, devices, port and day
  /// (UTC); looks at so many of the latest records and no more.
  virtual Result<std::vector<policy::ObservedFlow>> observed(Timestamp since, std::size_t latest) = 0;
  /// Since then are there no more records than so many?
  virtual Result<bool> fits(Timestamp since, std::size_t records) = 0;
  /// The latest record stays, so that ids go on where they were.
  virtual Result<std::size_t> prune(Timestamp older_than, std::uint64_t max_bytes) = 0;
};

Result<std::unique_ptr<FlowStore>> open_flow_store(const std::filesystem::path& database);

}  // namespace cordon::controller
