using Gateway.Catalog;

namespace Gateway.Planning;

/// <summary>Hand tuning from the file by service: <c>NAME</c>, <c>NAME@ENV</c> over it, later entries over earlier ones.</summary>
internal sealed class FileSettings
{
    private readonly Dictionary<string, List<(string? Environment, SettingSlot Slot, string Canonical)>> _byService =
        new(StringComparer.Ordinal);

    private readonly List<Problem> _problems = [];

    public FileSettings(PlanningOptions options)
    {
        foreach (ServiceSettings service in options.Services.AsSpan())
        {
            if (service.Environment is { } named
                && !options.Environments.Any(e => e.Name.Equals(named, StringComparison.OrdinalIgnoreCase)))
            {
                _problems.Add(new Problem
                {
                    Code = ProblemCodes.EnvironmentUnknown,
                    Service = service.Name,
                    Place = service.Entries.Count > 0 ? service.Entries[0].Place : "services",
                    Value = $"{service.Name}@{named}",
                    Allowed = string.Join(", ", options.Environments.Select(e => e.Name)),
                    Now = "entry ignored; name an environment of this file",
                });
                continue;
            }

            foreach (SettingEntry entry in service.Entries.AsSpan())
            {
                Add(service, entry);
            }
        }
    }

    /// <summary>What is wrong. The config room refuses such a file; an embedding program may not have asked.</summary>
    public IReadOnlyList<Problem> Problems => _problems;

    /// <summary>Lays the file's values over those of tags and Meta.</summary>
    public void Overlay(string service, string environment, Span<string?> slots)
    {
        if (!_byService.TryGetValue(service, out List<(string? Environment, SettingSlot Slot, string Canonical)>? entries))
        {
            return;
        }

        foreach ((string? of, SettingSlot slot, string canonical) in entries)
        {
            if (of is null)
            {
                slots[(int)slot] = canonical;
            }
        }

        foreach ((string? of, SettingSlot slot, string canonical) in entries)
        {
            if (of is not null && of.Equals(environment, StringComparison.OrdinalIgnoreCase))
            {
                slots[(int)slot] = canonical;
            }
        }
    }

    private void Add(ServiceSettings service, SettingEntry entry)
    {
        SettingKey? key = SettingGrammar.Find(entry.Key);
        SettingReading reading = key?.Read(entry.Value) ?? SettingReading.Invalid;
        if (reading.Fault != SettingFault.None)
        {
            _problems.Add(new Problem
            {
                Code = ProblemCodes.Of(key, reading.Fault),
                Service = service.Name,
                Place = entry.Place,
                Value = $"{entry.Key}: {entry.Value}",
                Allowed = key?.Allowed ?? SettingGrammar.NearestOrAll(entry.Key),
                Now = "value ignored; the file's other values stand",
            });
            return;
        }

        if (key?.Slot is { } slot && reading.Canonical is { } canonical)
        {
            if (!_byService.TryGetValue(service.Name, out var entries))
            {
                _byService[service.Name] = entries = [];
            }

            entries.Add((service.Environment, slot, canonical));
        }
    }
}
