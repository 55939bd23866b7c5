using Gateway.Discovery;
using Gateway.Discovery.EmbeddedCatalog;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Gateway;

/// <summary>The front door for programs that embed Gateway.</summary>
public static class GatewayServiceCollectionExtensions
{
    /// <summary>
    /// Runs Gateway inside this host: it starts and drains with it. Every <see cref="ICatalogSource"/> in the container is followed
    /// beside those that <paramref name="options"/> name.
    /// </summary>
    /// <param name="services">The container.</param>
    /// <param name="options">What to run; null: the defaults, with the embedded catalog only if no source is registered.</param>
    public static IServiceCollection AddGateway(this IServiceCollection services, GatewayOptions? options = null) =>
        services.AddGateway(provider => options
            ?? (provider.GetServices<ICatalogSource>().Any() ? new GatewayOptions() : new GatewayOptions { Embedded = new EmbeddedCatalogOptions() }));

    /// <summary>The same, with options made from the container.</summary>
    public static IServiceCollection AddGateway(this IServiceCollection services, Func<IServiceProvider, GatewayOptions> options)
    {
        services.AddSingleton(options);
        services.AddSingleton(provider => new GatewayHost(
            provider.GetRequiredService<GatewayOptions>(),
            provider.GetRequiredService<ILoggerFactory>(),
            provider.GetService<TimeProvider>())
        {
            ExtraSources = [.. provider.GetServices<ICatalogSource>()],
        });
        services.AddHostedService<GatewayService>();
        return services;
    }

    /// <summary>Ties a gateway to the life of a host. The host's ShutdownTimeout should exceed drain.timeout.</summary>
    private sealed class GatewayService(GatewayHost gateway) : IHostedService
    {
        public Task StartAsync(CancellationToken cancellationToken) => gateway.StartAsync(cancellationToken);

        public Task StopAsync(CancellationToken cancellationToken) => gateway.DrainAsync(cancellationToken);
    }
}
