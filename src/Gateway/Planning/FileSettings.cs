using Gateway.Catalog;

namespace Gateway.Planning;

/// <summary>Hand tuning from the file by service: <c>NAME</c>, <c>NAME@ENV</c> over it, later entries over earlier ones.</summary>
internal sealed class FileSettings
{
    private readonly Dictionary<string, List<FileValue>> _byService =
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

    /// <summary>Lays the file's values over those of tags and Meta; <paramref name="places"/>, if given, learn where they stand.</summary>
    public void Overlay(string service, string environment, Span<string?> slots, string?[]? places = null)
    {
        if (!_byService.TryGetValue(service, out List<FileValue>? entries))
        {
            return;
        }

        // What speaks of this environment counts more than what speaks of all.
        foreach (FileValue entry in entries)
        {
            if (entry.Environment is null)
            {
                Lay(entry, slots, places);
            }
        }

        foreach (FileValue entry in entries)
        {
            if (entry.Environment is { } of && of.Equals(environment, StringComparison.OrdinalIgnoreCase))
            {
                Lay(entry, slots, places);
            }
        }
    }

    private static void Lay(FileValue entry, Span<string?> slots, string?[]? places)
    {
        slots[(int)entry.Slot] = entry.Canonical;
        if (places is not null)
        {
            places[(int)entry.Slot] = entry.Place;
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
                Code = SettingGrammar.CodeOf(key, reading.Fault),
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

            entries.Add(new FileValue(service.Environment, slot, canonical, entry.Place));
        }
    }

    private readonly record struct FileValue(string? Environment, SettingSlot Slot, string Canonical, string Place);
}
