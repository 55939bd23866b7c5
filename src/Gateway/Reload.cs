using Gateway.Admin;
using Gateway.Catalog;
using Gateway.Configuration;
using Microsoft.Extensions.Logging;

namespace Gateway;

/// <summary>Reads the configuration again and gives each part what is new in it. One at a time.</summary>
internal sealed class Reload(OptionSources sources, ILogger log)
{
    /// <summary>Reloads. Returns what to answer, and the options in force from now on.</summary>
    public async Task<(CommandResult Result, GatewayOptions Options)> RunAsync(
        RunningParts parts, GatewayOptions running, Func<ConfigurationResult> load)
    {
        parts.AccessLog.Reopen(AccessLogs.Opener(running.Log));
        ConfigurationResult loaded = load();
        string findings = string.Join('\n', loaded.Diagnostics);
        if (loaded.Options is null)
        {
            parts.Control.Report("reload", [.. loaded.Diagnostics.Select(Refused)], said: true);
            log.LogError("reload refused, the running configuration stays:\n{Findings}", findings);
            return (new CommandResult(false, "refused, the running configuration stays:\n" + findings), running);
        }

        ConfigurationDiff diff = ConfigurationDiff.Between(running, loaded.Options);
        parts.Control.Report("reload", [.. diff.Kept.Select(NeedsUpgrade)], said: true);
        await ApplyAsync(parts, running, diff.Options);
        string[] lines = [.. loaded.Diagnostics.Select(d => d.ToString()), .. diff.Lines()];
        string text = lines.Length == 0 ? "reloaded, nothing changed" : "reloaded:\n" + string.Join('\n', lines);
        log.LogInformation("{Reload}", text);
        return (new CommandResult(true, text), diff.Options);
    }

    private async Task ApplyAsync(RunningParts parts, GatewayOptions old, GatewayOptions @new)
    {
        if (old.Log != @new.Log)
        {
            parts.AccessLog.Reopen(AccessLogs.Opener(@new.Log));
        }

        parts.Options = @new;

        // Certificates are read again in any case, and before a listener that needs them opens.
        parts.Http.Configure(@new.Edge, @new.TrustedProxies);
        parts.Control.Reconfigure(Composition.SettingsOf(@new));
        parts.Admin.Reconfigure(@new.Admin);
        await parts.Limit.FollowAsync(@new);
        parts.ApplyLimit();

        // Even if they seem to stand: a reload that failed half-way may have changed them.
        await parts.Listeners.ReconfigureAsync(@new.Listening);

        // A source whose options stand goes on untouched; only what changed is started anew, its last catalog standing meanwhile.
        parts.Control.FollowSources(sources.Next(old, @new, parts.Control.Sources));
    }

    private static Problem NeedsUpgrade(ChangedValue change) => new()
    {
        Code = ProblemCodes.NeedsUpgrade,
        Place = change.Key,
        Value = change.New,
        Allowed = "a value that is changed by a new process",
        Now = $"{change.Old} stays in force until the process is replaced",
    };

    private static Problem Refused(Diagnostic finding) => new()
    {
        Code = ProblemCodes.ReloadRefused,
        Place = finding.Place,
        Value = finding.Message,
        Allowed = "a configuration without errors",
        Now = "the running configuration stays; mend the file and reload again",
    };
}
