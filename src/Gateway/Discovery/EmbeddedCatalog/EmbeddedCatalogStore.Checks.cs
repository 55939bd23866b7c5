namespace Gateway.Discovery.EmbeddedCatalog;

// How checks stand: what programs, probes and the clock say of them.
internal sealed partial class EmbeddedCatalogStore
{
    /// <summary>What a program says of its own TTL check.</summary>
    public WriteResult Heard(string checkId, CheckStatus status, string output)
    {
        lock (_lock)
        {
            if (_state.FindCheck(checkId) is not { Definition.Kind: CheckKind.Ttl } check)
            {
                return WriteResult.Unknown;
            }

            Observe(check with { Deadline = _clock.GetUtcNow() + check.Definition.Ttl }, status, output);
        }

        Announce([checkId]);
        return WriteResult.Done;
    }

    /// <summary>What a probe found; ignored when the check is another one by now.</summary>
    public void Probed(CheckDefinition definition, CheckStatus status, string output)
    {
        lock (_lock)
        {
            if (_state.FindCheck(definition.Id) is { } check && check.Definition == definition)
            {
                Observe(check, status, output);
            }
        }
    }

    /// <summary>Turns a TTL check critical whose deadline has passed. Gives the deadline it has now, or null.</summary>
    public DateTimeOffset? Expire(string checkId)
    {
        lock (_lock)
        {
            if (_state.FindCheck(checkId) is not { Definition.Kind: CheckKind.Ttl, Deadline: { } deadline } check)
            {
                return null;
            }

            if (deadline > _clock.GetUtcNow())
            {
                return deadline;
            }

            const string expired = "TTL expired";
            string output = check.Output.Length == 0 || check.Output.StartsWith(expired, StringComparison.Ordinal)
                ? expired
                : $"{expired} (last output before timeout follows): {check.Output}";
            Observe(check with { Deadline = null }, CheckStatus.Critical, output);
            return null;
        }
    }

    /// <summary>Removes services that were critical for longer than they asked for. Gives their ids.</summary>
    public List<string> Reap()
    {
        List<string> reaped;
        List<string> checks = [];
        lock (_lock)
        {
            DateTimeOffset now = _clock.GetUtcNow();
            reaped = [.. _state.Checks
                .Where(c => c.Definition.DeregisterAfter > TimeSpan.Zero && c.Definition.ServiceId.Length > 0
                    && c.CriticalSince is { } since && now - since > c.Definition.DeregisterAfter)
                .Select(c => c.Definition.ServiceId)
                .Distinct(StringComparer.Ordinal)];
            if (reaped.Count > 0)
            {
                checks.AddRange(reaped.SelectMany(_state.ChecksOf).Select(c => c.Definition.Id));
                Try(new CatalogChange { Index = _state.Index + 1, ServicesGone = [.. reaped] });
            }
        }

        Announce(checks);
        return reaped;
    }

    /// <summary>Consul: a check registered again keeps how it stands; only a TTL check's clock starts anew.</summary>
    private void AddCheck(CheckRegistration check, ulong next, List<CheckRecord> checks, List<Heartbeat> beats)
    {
        CheckDefinition definition = check.Definition;
        DateTimeOffset now = _clock.GetUtcNow();
        DateTimeOffset? deadline = definition.Kind == CheckKind.Ttl ? now + definition.Ttl : null;
        CheckRecord? old = _state.FindCheck(definition.Id);
        if (old is not null && old.Definition == definition)
        {
            if (deadline is { } at)
            {
                beats.Add(new Heartbeat(definition.Id, at));
            }

            return;
        }

        CheckStatus status = old?.Status ?? check.Status;
        checks.Add(new CheckRecord
        {
            Definition = definition,
            Status = status,
            Output = old?.Output ?? "",
            Deadline = deadline,
            CriticalSince = status == CheckStatus.Critical ? old?.CriticalSince ?? now : null,
            CreateIndex = old?.CreateIndex ?? next,
            ModifyIndex = next,
        });
    }

    /// <summary>
    /// A check's news. Another status is a change; the same one with another output is seen by the next reader but wakes nobody,
    /// as Consul's agent holds such updates back for minutes.
    /// </summary>
    private void Observe(CheckRecord check, CheckStatus status, string output)
    {
        if (status != check.Status)
        {
            ulong next = _state.Index + 1;
            Try(new CatalogChange
            {
                Index = next,
                Checks =
                [
                    check with
                    {
                        Status = status,
                        Output = output,
                        CriticalSince = status == CheckStatus.Critical ? _clock.GetUtcNow() : null,
                        ModifyIndex = next,
                    },
                ],
            });
            return;
        }

        _state.PutQuietly(check with { Output = output });
        if (check.Deadline is { } deadline)
        {
            Try(new CatalogChange { Index = _state.Index, Heartbeats = [new Heartbeat(check.Definition.Id, deadline)] });
        }
    }
}
