#pragma once
// A LogStore in memory that can be told to fail.

#include <algorithm>
#include <mutex>

#include "controller/log/log_store.h"

namespace cordon::test {

class MemoryLogStore final : public controller::LogStore {
 public:
  Result<std::pair<Revision, Sha256>> head() override {
    const std::lock_guard lock(mutex_);
    ++heads_read_;
    if (trouble_) return std::unexpected(*trouble_);
    if (records_.empty()) return std::pair(Revision{}, Sha256{});
    return std::pair(records_.back().revision, records_.back().hash);
  }
  Result<std::vector<controller::Record>> read(Revision after, std::size_t limit) override {
    const std::lock_guard lock(mutex_);
    std::vector<controller::Record> out;
    for (const auto& record : records_) {
      if (after < record.revision && out.size() < limit) out.push_back(record);
    }
    return out;
  }
  Result<> commit(std::span<const controller::Record> records, const controller::SignedHead& head) override {
    const std::lock_guard lock(mutex_);
    if (trouble_) return std::unexpected(*trouble_);
    const auto last = records_.empty() ? Sha256{} : records_.back().hash;
    if (records.front().previous != last) return fail(ErrorCode::conflict, "someone else wrote");
    records_.insert(records_.end(), records.begin(), records.end());
    heads_.push_back(head);
    return {};
  }
  Result<std::optional<controller::SignedHead>> signed_head_at(Revision revision) override {
    const std::lock_guard lock(mutex_);
    const auto found =
        std::ranges::find_if(heads_, [&](const auto& head) { return head.revision >= revision; });
    if (found == heads_.end()) return std::nullopt;
    return *found;
  }
  Result<std::optional<controller::SignedHead>> last_signed_head() override {
    const std::lock_guard lock(mutex_);
    if (heads_.empty()) return std::nullopt;
    return heads_.back();
  }

  void set_trouble(std::optional<Error> trouble) {
    const std::lock_guard lock(mutex_);
    trouble_ = std::move(trouble);
  }
  template <class Edit>
  void edit(const Edit& edit) {
    const std::lock_guard lock(mutex_);
    edit(records_, heads_);
  }
  std::size_t batches() {
    const std::lock_guard lock(mutex_);
    return heads_.size();
  }
  std::size_t heads_read() {
    const std::lock_guard lock(mutex_);
    return heads_read_;
  }

 private:
  std::mutex mutex_;
  std::vector<controller::Record> records_;
  std::vector<controller::SignedHead> heads_;
  std::optional<Error> trouble_;
  std::size_t heads_read_ = 0;
};

}  // namespace cordon::test
